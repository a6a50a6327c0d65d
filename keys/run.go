package keys

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// How often the keyring talks to the store by itself.
const (
	pollEvery  = 250 * time.Millisecond
	beatEvery  = time.Second
	noteEvery  = time.Second
	touchEvery = 5 * time.Second
	pruneEvery = time.Hour
	// storeLimit is how long one such talk may take.
	storeLimit = 2 * time.Second
)

// Run follows the store until ctx ends: it takes over what other processes change, says that this instance is alive,
// and writes down what was used and refused. Rows of the audit older than retention are removed. It returns once
// everything noted is written.
func (k *Keyring) Run(ctx context.Context, retention time.Duration) {
	var loops sync.WaitGroup
	loops.Go(func() { k.follow(ctx) })
	loops.Go(func() { k.beats(ctx) })
	loops.Go(func() { k.write(ctx, retention) })
	loops.Wait()
}

// follow polls the store for changes.
func (k *Keyring) follow(ctx context.Context) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	failing := false
	for {
		changed, err := k.Poll(ctx)
		if changed {
			select {
			case k.moved <- struct{}{}:
			default: // the beat that is due says it
			}
		}
		if ctx.Err() == nil && failing != (err != nil) {
			failing = err != nil
			if failing {
				k.Logger.Error("the store cannot be asked for changes of keys", "error", err)
			} else {
				k.Logger.Info("the store can be asked for changes of keys again")
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

// beats says that this instance is alive and what it has seen, every second and after each change. It is apart from
// follow because it writes: waiting for other writers must not keep this instance from hearing of a revocation.
func (k *Keyring) beats(ctx context.Context) {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		k.report("that this instance is alive", k.beat(ctx))
		select {
		case <-beat.C:
		case <-k.moved:
		case <-ctx.Done():
			k.leave(context.WithoutCancel(ctx))
			return
		}
	}
}

// Poll takes over the changes since the last time and says whether there were any. From then on, what the keyring holds
// is the store's state at the moment of the call or a later one.
func (k *Keyring) Poll(ctx context.Context) (changed bool, err error) {
	asked := k.monotonic()
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	since := k.version.Load()
	version, records, err := k.Store.KeyChanges(ctx, since)
	if err != nil {
		return false, err
	}
	if since == unasked {
		// What was read until now was read of an unknown version: a change between then and this moment would never
		// be heard of.
		k.forget()
	} else if len(records) > 0 {
		k.apply(records...)
	}
	k.version.Store(version)
	k.viewed.Store(int64(asked))
	return version != since, nil
}

func (k *Keyring) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return k.Store.Beat(ctx, k.Instance, k.version.Load(), k.Now())
}

func (k *Keyring) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	if err := k.Store.Leave(ctx, k.Instance); err != nil {
		k.Logger.Warn("this instance could not be signed off", "error", err)
	}
}

// write is the one writer of what is noted, so that no request writes.
func (k *Keyring) write(ctx context.Context, retention time.Duration) {
	note := time.NewTicker(noteEvery)
	defer note.Stop()
	var touched, pruned time.Time
	for {
		now := time.Now()
		stopping := ctx.Err() != nil
		unstopped, cancel := context.WithoutCancel(ctx), func() {}
		if stopping {
			unstopped, cancel = context.WithTimeout(unstopped, storeLimit)
		}
		if now.Sub(touched) >= touchEvery || stopping {
			touched = now
			k.report("when keys were last used", k.flushUsed(unstopped))
		}
		k.report("refused calls", k.flushRefused(unstopped, stopping))
		if now.Sub(pruned) >= pruneEvery && !stopping {
			pruned = now
			k.report("the age of the audit", k.prune(unstopped, retention))
		}
		cancel()
		if stopping {
			return
		}
		select {
		case <-note.C:
		case <-ctx.Done():
		}
	}
}

func (k *Keyring) report(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		k.Logger.Warn("could not write "+what, "error", err)
	}
}

func (k *Keyring) prune(ctx context.Context, retention time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	return k.Store.PruneEvents(ctx, k.Now().Add(-retention))
}

// maxNotes bounds what is noted while the store cannot be written.
const maxNotes = 10_000

// notes is what waits to be written: which keys were used in a new minute, and which callers were refused in which
// second.
type notes struct {
	mu      sync.Mutex
	touched map[string]time.Time
	refused map[refusedIn]Event
}

// refusedIn is a caller and a second: one row of the audit.
type refusedIn struct {
	actor  string
	second int64
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

// Refused notes, for the audit, that a caller whose token verified was refused something of the administration. Calls of
// one caller within a second become one row, with the target of the first.
func (k *Keyring) Refused(actor Actor, target string) {
	now := k.Now()
	in := refusedIn{actor.Key, now.Unix()}
	k.notes.mu.Lock()
	defer k.notes.mu.Unlock()
	if k.notes.refused == nil {
		k.notes.refused = map[refusedIn]Event{}
	}
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
	if len(touched) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	err := k.Store.TouchKeys(ctx, touched)
	if err != nil {
		k.notes.mu.Lock()
		defer k.notes.mu.Unlock()
		maps.Copy(touched, k.notes.touched) // what came since is newer
		k.notes.touched = touched
	}
	return err
}

// flushRefused writes the refusals of the seconds that are over; all writes those of the current second, too, which could
// have grown. What cannot be written is noted again.
func (k *Keyring) flushRefused(ctx context.Context, all bool) error {
	events := k.takeRefused(all)
	if len(events) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	err := k.Store.AppendEvents(ctx, events)
	if err != nil {
		k.notes.mu.Lock()
		defer k.notes.mu.Unlock()
		for _, event := range events {
			k.notes.refused[refusedIn{event.Actor.Key, event.At.Unix()}] = event
		}
	}
	return err
}

func (k *Keyring) takeRefused(all bool) []Event {
	second := k.Now().Unix()
	k.notes.mu.Lock()
	defer k.notes.mu.Unlock()
	var events []Event
	for in, event := range k.notes.refused {
		if all || in.second < second {
			events = append(events, event)
			delete(k.notes.refused, in)
		}
	}
	slices.SortFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
	return events
}
