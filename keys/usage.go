package keys

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	noteEvery  = time.Second
	touchEvery = 5 * time.Second
	pruneEvery = time.Hour
	countEvery = time.Minute
	// noteLimit is how long writing notesAtOnce may take. At the end of the process there is one call that has begun,
	// the time in which others begin, and the last of them: three times as long altogether.
	noteLimit   = time.Second
	notesAtOnce = 200
)

// maxNotes bounds what is noted while the store cannot be written.
const maxNotes = 10_000

// longestSpan is the longest time, in seconds, for which the refusals of one caller become one row of the audit. A caller
// that was not refused for as long begins anew, with a second.
const longestSpan = 600

// notes is what waits to be written: which keys were used in a new minute, and which callers were refused.
type notes struct {
	mu      sync.Mutex
	touched map[string]time.Time
	refused map[span]Event
	spans   map[string]span // the newest of each caller
}

// span is a caller and the time, in seconds, whose refusals become one row of the audit. A client that goes on with a
// dead token must not fill the store: each span of a caller is twice as long as the one before.
type span struct {
	actor      string
	begin, end int64
}

// span is the one that a refusal now belongs to. The caller has the lock.
func (n *notes) span(actor string, second int64) span {
	last, known := n.spans[actor]
	repeated := known && second >= last.begin && second < last.end+longestSpan // not where the clock was set back
	if repeated && second < last.end {
		return last
	}
	length := int64(1)
	if repeated {
		length = min(2*(last.end-last.begin), longestSpan)
	}
	next := span{actor, second, second + length}
	if n.spans == nil {
		n.spans = map[string]span{}
	}
	if known || len(n.spans) < maxNotes {
		n.spans[actor] = next
	}
	return next
}

// used notes that a key is used, once a minute.
func (n *notes) used(key *Key, now time.Time) {
	minute := now.Unix() / 60
	before := key.minute.Load()
	if minute <= before || !key.minute.CompareAndSwap(before, minute) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.touched == nil {
		n.touched = map[string]time.Time{}
	}
	if _, noted := n.touched[key.id]; noted || len(n.touched) < maxNotes {
		n.touched[key.id] = time.Unix(minute*60, 0).UTC()
	}
}

// Refused notes, for the audit, that a caller whose token verified was refused something of the administration. What one
// caller is refused within a second becomes one row, with the target of the first; the time grows up to ten minutes while
// it goes on.
func (k *Keyring) Refused(actor Actor, target string) {
	now := k.clock()
	k.notes.mu.Lock()
	defer k.notes.mu.Unlock()
	if k.notes.refused == nil {
		k.notes.refused = map[span]Event{}
	}
	in := k.notes.span(actor.Key, now.Unix())
	event, noted := k.notes.refused[in]
	if !noted {
		if len(k.notes.refused) >= maxNotes {
			return
		}
		event = Event{At: now, Actor: actor, Action: ActionRefused, Target: target}
	}
	event.Count++
	k.notes.refused[in] = event
}

// flushUsed writes when keys were last used. What cannot be written is noted again.
func (k *Keyring) flushUsed(ctx context.Context) error {
	k.notes.mu.Lock()
	touched := k.notes.touched
	k.notes.touched = nil
	k.notes.mu.Unlock()
	left, err := inSteps(ctx, slices.Sorted(maps.Keys(touched)), func(ctx context.Context, ids []string) error {
		step := make(map[string]time.Time, len(ids))
		for _, id := range ids {
			step[id] = touched[id]
		}
		return k.store.TouchKeys(ctx, step)
	})
	if len(left) > 0 {
		k.notes.mu.Lock()
		defer k.notes.mu.Unlock()
		again := make(map[string]time.Time, len(left))
		for _, id := range left {
			again[id] = touched[id]
		}
		maps.Copy(again, k.notes.touched) // what came since is newer
		k.notes.touched = again
	}
	return err
}

// notedEvent is a row of the audit and the span that it is of.
type notedEvent struct {
	span

	event Event
}

// flushRefused writes the refusals of the spans that are over; all writes those of the others, too, which could have
// grown. What cannot be written is noted again.
func (k *Keyring) flushRefused(ctx context.Context, all bool) error {
	left, err := inSteps(ctx, k.takeRefused(all), func(ctx context.Context, step []notedEvent) error {
		events := make([]Event, len(step))
		for i, noted := range step {
			events[i] = noted.event
		}
		return k.store.AppendEvents(ctx, events)
	})
	if len(left) > 0 {
		k.notes.mu.Lock()
		defer k.notes.mu.Unlock()
		for _, noted := range left {
			noted.event.Count += k.notes.refused[noted.span].Count // what came since
			k.notes.refused[noted.span] = noted.event
		}
	}
	return err
}

// inSteps writes notes, a limited number in each call, so that a slow store gets on with them, and returns those that are
// left when a call fails or ctx ends. A call that has begun does not end with ctx: nobody would know what became of it.
func inSteps[N any](ctx context.Context, left []N, write func(context.Context, []N) error) ([]N, error) {
	for len(left) > 0 {
		if err := ctx.Err(); err != nil {
			return left, err
		}
		step := left[:min(len(left), notesAtOnce)]
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
		err := write(limited, step)
		cancel()
		if err != nil {
			return left, err
		}
		left = left[len(step):]
	}
	return nil, nil
}

// takeRefused gives what is to be written now, the oldest first. Where no more can be noted, spans that began in an
// earlier second end early.
func (k *Keyring) takeRefused(all bool) []notedEvent {
	second := k.clock().Unix()
	k.notes.mu.Lock()
	defer k.notes.mu.Unlock()
	full := len(k.notes.refused) >= maxNotes
	var taken []notedEvent
	for in, event := range k.notes.refused {
		if all || second >= in.end || second < in.begin || full && second > in.begin {
			taken = append(taken, notedEvent{in, event})
			delete(k.notes.refused, in)
		}
	}
	maps.DeleteFunc(k.notes.spans, func(_ string, last span) bool {
		return second >= last.end+longestSpan || second < last.begin
	})
	slices.SortFunc(taken, func(a, b notedEvent) int { return a.event.At.Compare(b.event.At) })
	return taken
}

// write is the one writer of what is noted, so that no request writes.
func (k *Keyring) write(ctx context.Context, retention time.Duration) {
	note := time.NewTicker(noteEvery)
	defer note.Stop()
	var touched, pruned, counted time.Time
	for {
		now := time.Now()
		if ctx.Err() != nil {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
			defer cancel()
			k.report("refused calls", k.flushRefused(last, true))
			k.report("when keys were last used", k.flushUsed(last))
			return
		}
		k.report("refused calls", k.flushRefused(ctx, false))
		if now.Sub(touched) >= touchEvery {
			touched = now
			k.report("when keys were last used", k.flushUsed(ctx))
		}
		if now.Sub(pruned) >= pruneEvery {
			pruned = now
			k.report("the age of the audit", k.prune(ctx, retention))
		}
		if now.Sub(counted) >= countEvery {
			counted = now
			k.countUnusable(ctx)
		}
		select {
		case <-note.C:
		case <-ctx.Done():
		}
	}
}

func (k *Keyring) prune(ctx context.Context, retention time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return k.store.PruneEvents(ctx, k.clock().Add(-retention))
}
