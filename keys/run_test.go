package keys_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-api/latchkey/keys"
)

// during runs a keyring, calls f, stops it and waits until it has written everything.
func during(t *testing.T, ring *keys.Keyring, f func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ring.Run(ctx, time.Hour)
	}()
	f()
	stop()
	<-ended
}

// within fails unless done becomes true in time.
func within(t *testing.T, timeout time.Duration, what string, done func() bool) {
	t.Helper()
	end := time.Now().Add(timeout)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}

// callCounter counts the calls of a store by name.
type callCounter struct {
	keys.Store

	mu    sync.Mutex
	times map[string]int
}

func (a *callCounter) count(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times[what]++
}

func (a *callCounter) KeyChanges(ctx context.Context, since int64, most int) (keys.Changes, error) {
	a.count("changes")
	return a.Store.KeyChanges(ctx, since, most)
}

func (a *callCounter) Heartbeat(ctx context.Context, instance string, version int64, within time.Duration) (keys.Fleet, error) {
	a.count("heartbeat")
	return a.Store.Heartbeat(ctx, instance, version, within)
}

func (a *callCounter) Instances(ctx context.Context, within time.Duration) (map[string]keys.Instance, error) {
	a.count("instances")
	return a.Store.Instances(ctx, within)
}

func (a *callCounter) UpdateShares(ctx context.Context, instance string, within time.Duration,
	update func(map[string]keys.Instance) (string, bool),
) error {
	a.count("shares")
	return a.Store.UpdateShares(ctx, instance, within, update)
}

func (a *callCounter) TouchKeys(ctx context.Context, used map[string]time.Time) error {
	a.count("touch")
	return a.Store.TouchKeys(ctx, used)
}

func (a *callCounter) AppendEvents(ctx context.Context, events []keys.Event) error {
	a.count("append")
	return a.Store.AppendEvents(ctx, events)
}

func (a *callCounter) PruneEvents(ctx context.Context, before time.Time) error {
	a.count("prune")
	return a.Store.PruneEvents(ctx, before)
}

func TestRunAtRestAsksFiveTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t)
		a := &callCounter{Store: s.Store, times: map[string]int{}}
		one, two := newRing(t, a), newRing(t, s.Store)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, ring := range []*keys.Keyring{one, two} {
			if err := ring.Start(ctx); err != nil {
				t.Fatal(err)
			}
			running.Go(func() { ring.Run(ctx, time.Hour) })
		}
		time.Sleep(5 * time.Second) // each knows of the other
		synctest.Wait()
		a.mu.Lock()
		clear(a.times)
		a.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		a.mu.Lock()
		want := map[string]int{"changes": 4 * 60, "heartbeat": 60}
		if !maps.Equal(a.times, want) {
			t.Errorf("in a minute at rest: %v, want %v", a.times, want)
		}
		a.mu.Unlock()
		stop()
		running.Wait()
	})
}
