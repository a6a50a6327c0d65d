package keys

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

const (
	// lookupTimeout is how long a request waits for a key, and a query for its answer.
	lookupTimeout = time.Second
	// lookupQueries is how many queries run at once, and lookupBatch how many keys one query reads. Together they are more
	// than the made-up ids that can come at once: a flood of them must not delay the first use of a real key.
	lookupQueries = 8
	lookupBatch   = 500
)

var errLookupTimeout = errors.New("reading the key from the store took too long")

// lookups are the keys that are being read or wait to be read. All requests for one id share a flight, and all flights that
// wait share the next query.
type lookups struct {
	mu      sync.Mutex
	flights map[string]*flight // the newest of each id
	waiting []*flight          // the oldest first
	queries int
}

// flight is one read of a key, for all requests that ask at the same time.
type flight struct {
	id    string
	until time.Time // when the last request stops waiting
	begun bool
	// done is closed when key and err are set.
	done chan struct{}
	key  *Key
	err  error
}

// read reads a key from the store, within lookupTimeout. With fresh the query begins after this call; without it, the
// answer of a query that runs already will do.
func (k *Keyring) read(id string, fresh bool) (*Key, error) {
	joined, first := k.lookups.join(id, fresh)
	if first {
		go k.readWaiting()
	}
	timeout := time.NewTimer(lookupTimeout)
	defer timeout.Stop()
	select {
	case <-joined.done:
		return joined.key, joined.err
	case <-timeout.C:
		return nil, fault.Wrap(fault.Unavailable, errLookupTimeout)
	}
}

// join gives the flight to wait for. With first, the caller must start a query.
func (l *lookups) join(id string, fresh bool) (_ *flight, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	joined := l.flights[id]
	if joined == nil || fresh && joined.begun {
		joined = &flight{id: id, done: make(chan struct{})}
		l.flights[id] = joined
		l.waiting = append(l.waiting, joined)
		if first = l.queries < lookupQueries; first {
			l.queries++
		}
	}
	joined.until = time.Now().Add(lookupTimeout)
	return joined, first
}

// readWaiting runs queries while flights wait.
func (k *Keyring) readWaiting() {
	for {
		batch := k.lookups.take()
		if len(batch) == 0 {
			return
		}
		k.readBatch(batch)
		k.lookups.land(batch)
	}
}

// take gives the flights of the next query, none when no flight waits. Flights that no request waits for fail.
func (l *lookups) take() []*flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var batch []*flight
	taken := 0
	for _, one := range l.waiting {
		if len(batch) == lookupBatch {
			break
		}
		taken++
		if one.begun = true; now.Before(one.until) {
			batch = append(batch, one)
			continue
		}
		one.err = fault.Wrap(fault.Unavailable, errLookupTimeout)
		l.end(one)
	}
	l.waiting = slices.Delete(l.waiting, 0, taken)
	if len(batch) == 0 {
		l.queries--
	}
	return batch
}

func (l *lookups) land(batch []*flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range batch {
		l.end(one)
	}
}

// end gives the requests of a flight their answer. The caller holds mu.
func (l *lookups) end(one *flight) {
	if l.flights[one.id] == one {
		delete(l.flights, one.id)
	}
	close(one.done)
}

// readBatch reads the keys of a batch and caches them. If a change is applied meanwhile, they are read again: the answer
// may be older than the change. After the last attempt, such an answer is used once, marked stale and not cached.
func (k *Keyring) readBatch(batch []*flight) {
	const attempts = 3
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	ids := make([]string, len(batch))
	for i, one := range batch {
		ids[i] = one.id
	}
	for attempt := 1; ; attempt++ {
		k.mu.RLock()
		before := k.changes
		k.mu.RUnlock()
		records, err := k.store.KeysByID(ctx, ids)
		if err != nil {
			for _, one := range batch {
				one.err = fault.Wrap(fault.Unavailable, err)
			}
			return
		}
		found := make(map[string]Record, len(records))
		for _, record := range records {
			found[record.ID] = record
		}
		if k.answer(batch, found, before, attempt == attempts) {
			return
		}
	}
}

// answer gives each flight the key that was found, and caches it if no change was applied since the query began, when
// before changes had been. If one was, it does nothing and returns false, except at the last attempt.
func (k *Keyring) answer(batch []*flight, found map[string]Record, before uint64, last bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.changes == before
	if !kept && !last {
		return false
	}
	for _, one := range batch {
		record, known := found[one.id]
		switch {
		case !known:
			one.err = fault.New(fault.KeyNotAcceptable)
			if kept {
				k.rememberUnknown(one.id)
			}
		case kept:
			one.key = k.keep(record)
		default:
			one.key = k.newKey(record, k.keys[one.id])
			one.key.stale.Store(true)
		}
	}
	return true
}
