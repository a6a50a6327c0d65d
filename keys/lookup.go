package keys

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

// The bounds of reading keys that are not held.
const (
	// lookupLimit is how long a request may wait for such a key, and a query for its answer.
	lookupLimit = time.Second
	// lookupQueries is how many queries there are at once, and lookupBatch of how many keys one may be. Made-up ids are as
	// many as there are connections: they may not keep a key that is used for the first time waiting.
	lookupQueries = 8
	lookupBatch   = 500
)

var errLookup = errors.New("looking a key up took too long")

// lookups are the keys that are being read, or wait for it. There is one flight for an id, and those that wait when a
// query can begin go together.
type lookups struct {
	mu      sync.Mutex
	flights map[string]*flight // the newest of each id
	waiting []*flight          // the oldest first
	queries int
}

// flight is one reading of a key, for all who ask at the same time.
type flight struct {
	id    string
	until time.Time // when the last who waits for it gives up
	begun bool
	// done is closed when key and err are set.
	done chan struct{}
	key  *Key
	err  error
}

// read reads a key from the store, with all that wait at the same time, and for at most lookupLimit. fresh asks for what
// is read from now on: a query that has begun may have read before.
func (k *Keyring) read(id string, fresh bool) (*Key, error) {
	joined, first := k.lookups.join(id, fresh)
	if first {
		go k.readWaiting()
	}
	limit := time.NewTimer(lookupLimit)
	defer limit.Stop()
	select {
	case <-joined.done:
		return joined.key, joined.err
	case <-limit.C:
		return nil, fault.Wrap(fault.Unavailable, errLookup)
	}
}

// join gives the flight to wait for, and whether a query may begin, which the caller then has to do.
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
	joined.until = time.Now().Add(lookupLimit)
	return joined, first
}

// readWaiting makes queries for as long as flights wait.
func (k *Keyring) readWaiting() {
	for {
		batch := k.lookups.take()
		if len(batch) == 0 {
			return
		}
		k.fill(batch)
		k.lookups.land(batch)
	}
}

// take gives the flights of the next query. Without any the query is over. What nobody waits for any more is left out.
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
		one.err = fault.Wrap(fault.Unavailable, errLookup)
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

// end answers who waits for a flight. The caller has the lock.
func (l *lookups) end(one *flight) {
	if l.flights[one.id] == one {
		delete(l.flights, one.id)
	}
	close(one.done)
}

// fill reads keys and keeps them, unless a change was applied in between: then what was read may be older, and it is read
// again. What cannot be kept is used once, and marked stale so that nothing else holds on to it.
func (k *Keyring) fill(batch []*flight) {
	const tries = 3
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	ids := make([]string, len(batch))
	for i, one := range batch {
		ids[i] = one.id
	}
	for try := 1; ; try++ {
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
		if k.answer(batch, found, before, try == tries) {
			return
		}
	}
}

// answer gives each flight what was found when before changes had been applied, and keeps it if none was since. Otherwise
// it does nothing, unless this is the last try.
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
				k.remember(one.id)
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
