package keys

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	flushInterval = time.Second     // of refused calls
	touchInterval = 5 * time.Second // of last uses
	pruneInterval = time.Hour       // of the audit
	countInterval = time.Minute     // of hs256 keys that cannot be decrypted
	// flushTimeout is how long writing one batch of flushBatch rows may take. A stop waits at most three times as long: for a
	// batch that is being written, for the time in which further ones begin, and for the last one.
	flushTimeout = time.Second
	flushBatch   = 200
	// maxPending is how many keys and how many refusals are kept while the store cannot be written.
	maxPending = 10_000
	// maxSpan is the longest span, in seconds. A caller that was not refused for as long starts again with one second.
	maxSpan = 600
)

// usage is what waits to be written: when keys were last used, and which callers were refused.
type usage struct {
	mu      sync.Mutex
	touched map[string]time.Time
	refused map[span]Event
	spans   map[string]span // the newest of each caller
}

// span is a time, in seconds, in which all refusals of one caller become one row of the audit. Each span of a caller is twice
// as long as the one before, so that a client that goes on with a dead token does not fill the store.
type span struct {
	actor      string
	begin, end int64
}

// spanAt is the span of a refusal. The caller holds mu.
func (n *usage) spanAt(actor string, second int64) span {
	last, known := n.spans[actor]
	repeated := known && second >= last.begin && second < last.end+maxSpan // false if the clock was set back
	if repeated && second < last.end {
		return last
	}
	length := int64(1)
	if repeated {
		length = min(2*(last.end-last.begin), maxSpan)
	}
	next := span{actor, second, second + length}
	if n.spans == nil {
		n.spans = map[string]span{}
	}
	if known || len(n.spans) < maxPending {
		n.spans[actor] = next
	}
	return next
}

// used notes that a key is used now, to the minute.
func (n *usage) used(key *Key, now time.Time) {
	minute := now.Unix() / 60
	before := key.usedMinute.Load()
	if minute <= before || !key.usedMinute.CompareAndSwap(before, minute) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.touched == nil {
		n.touched = map[string]time.Time{}
	}
	if _, noted := n.touched[key.id]; noted || len(n.touched) < maxPending {
		n.touched[key.id] = time.Unix(minute*60, 0).UTC()
	}
}

// Refused notes, for the audit, that the administration refused a caller whose token verified. All refusals of a caller in
// one span become one row, which names the target of the first.
func (k *Keyring) Refused(actor Actor, target string) {
	now := k.clock()
	k.usage.mu.Lock()
	defer k.usage.mu.Unlock()
	if k.usage.refused == nil {
		k.usage.refused = map[span]Event{}
	}
	in := k.usage.spanAt(actor.Key, now.Unix())
	event, noted := k.usage.refused[in]
	if !noted {
		if len(k.usage.refused) >= maxPending {
			return
		}
		event = Event{At: now, Actor: actor, Action: ActionRefused, Target: target}
	}
	event.Count++
	k.usage.refused[in] = event
}

// flushUsed writes when keys were last used. What cannot be written waits for the next time.
func (k *Keyring) flushUsed(ctx context.Context) error {
	k.usage.mu.Lock()
	touched := k.usage.touched
	k.usage.touched = nil
	k.usage.mu.Unlock()
	left, err := inBatches(ctx, slices.Sorted(maps.Keys(touched)), func(ctx context.Context, ids []string) error {
		batch := make(map[string]time.Time, len(ids))
		for _, id := range ids {
			batch[id] = touched[id]
		}
		return k.store.TouchKeys(ctx, batch)
	})
	if len(left) > 0 {
		k.usage.mu.Lock()
		defer k.usage.mu.Unlock()
		again := make(map[string]time.Time, len(left))
		for _, id := range left {
			again[id] = touched[id]
		}
		maps.Copy(again, k.usage.touched) // what came since is newer
		k.usage.touched = again
	}
	return err
}

// notedEvent is a row of the audit and its span.
type notedEvent struct {
	span

	event Event
}

// flushRefused writes the refusals of the spans that have ended, with all those of the others, too. What cannot be written
// waits for the next time.
func (k *Keyring) flushRefused(ctx context.Context, all bool) error {
	left, err := inBatches(ctx, k.takeRefused(all), func(ctx context.Context, batch []notedEvent) error {
		events := make([]Event, len(batch))
		for i, noted := range batch {
			events[i] = noted.event
		}
		return k.store.AppendEvents(ctx, events)
	})
	if len(left) > 0 {
		k.usage.mu.Lock()
		defer k.usage.mu.Unlock()
		for _, noted := range left {
			noted.event.Count += k.usage.refused[noted.span].Count // what came since
			k.usage.refused[noted.span] = noted.event
		}
	}
	return err
}

// inBatches writes rows in batches of flushBatch, so that a slow store makes progress. It returns the rows that are left when
// a batch fails or ctx ends. A batch that has begun goes on when ctx ends: otherwise nobody would know whether it was written.
func inBatches[N any](ctx context.Context, left []N, write func(context.Context, []N) error) ([]N, error) {
	for len(left) > 0 {
		if err := ctx.Err(); err != nil {
			return left, err
		}
		batch := left[:min(len(left), flushBatch)]
		batchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		err := write(batchCtx, batch)
		cancel()
		if err != nil {
			return left, err
		}
		left = left[len(batch):]
	}
	return nil, nil
}

// takeRefused takes the refusals that are due, the oldest first. When maxPending is reached, spans that did not begin in
// this second end early.
func (k *Keyring) takeRefused(all bool) []notedEvent {
	second := k.clock().Unix()
	k.usage.mu.Lock()
	defer k.usage.mu.Unlock()
	full := len(k.usage.refused) >= maxPending
	var taken []notedEvent
	for in, event := range k.usage.refused {
		if all || second >= in.end || second < in.begin || full && second > in.begin {
			taken = append(taken, notedEvent{in, event})
			delete(k.usage.refused, in)
		}
	}
	maps.DeleteFunc(k.usage.spans, func(_ string, last span) bool {
		return second >= last.end+maxSpan || second < last.begin
	})
	slices.SortFunc(taken, func(a, b notedEvent) int { return a.event.At.Compare(b.event.At) })
	return taken
}

// usageLoop is the only writer of usage, so that no request writes. When ctx ends, it writes what is left.
func (k *Keyring) usageLoop(ctx context.Context, retention time.Duration) {
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	var touched, pruned, counted time.Time
	for {
		now := time.Now()
		if ctx.Err() != nil {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer cancel()
			k.report("refused calls", k.flushRefused(last, true))
			k.report("when keys were last used", k.flushUsed(last))
			return
		}
		k.report("refused calls", k.flushRefused(ctx, false))
		if now.Sub(touched) >= touchInterval {
			touched = now
			k.report("when keys were last used", k.flushUsed(ctx))
		}
		if now.Sub(pruned) >= pruneInterval {
			pruned = now
			k.report("the age of the audit", k.prune(ctx, retention))
		}
		if now.Sub(counted) >= countInterval {
			counted = now
			k.countUnusable(ctx)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (k *Keyring) prune(ctx context.Context, retention time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return k.store.PruneEvents(ctx, k.clock().Add(-retention))
}
