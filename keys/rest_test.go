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

// asked counts what a keyring asks its store for. What the store makes of it is tested there.
type asked struct {
	keys.Store

	mu    sync.Mutex
	times map[string]int
}

func (a *asked) count(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times[what]++
}

func (a *asked) KeyChanges(ctx context.Context, since int64, most int) (keys.Changes, error) {
	a.count("changes")
	return a.Store.KeyChanges(ctx, since, most)
}

func (a *asked) Beat(ctx context.Context, instance string, version int64, within time.Duration) (keys.Fleet, error) {
	a.count("beat")
	return a.Store.Beat(ctx, instance, version, within)
}

func (a *asked) Instances(ctx context.Context, within time.Duration) (map[string]keys.Instance, error) {
	a.count("instances")
	return a.Store.Instances(ctx, within)
}

func (a *asked) DivideLimits(ctx context.Context, instance string, within time.Duration,
	divide func(map[string]keys.Instance) (string, bool),
) error {
	a.count("divide")
	return a.Store.DivideLimits(ctx, instance, within, divide)
}

func (a *asked) TouchKeys(ctx context.Context, used map[string]time.Time) error {
	a.count("touch")
	return a.Store.TouchKeys(ctx, used)
}

func (a *asked) AppendEvents(ctx context.Context, events []keys.Event) error {
	a.count("append")
	return a.Store.AppendEvents(ctx, events)
}

func (a *asked) PruneEvents(ctx context.Context, before time.Time) error {
	a.count("prune")
	return a.Store.PruneEvents(ctx, before)
}

func TestAtRestTheStoreIsAskedFiveTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t)
		a := &asked{Store: s.Store, times: map[string]int{}}
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
		want := map[string]int{"changes": 4 * 60, "beat": 60}
		if !maps.Equal(a.times, want) {
			t.Errorf("in a minute at rest: %v, want %v", a.times, want)
		}
		a.mu.Unlock()
		stop()
		running.Wait()
	})
}

func TestPartsThatTheStoreHasLostEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t)
		u := &unreachable{Store: s.Store}
		one := newRing(t, u, func(o *keys.Options) { o.Instance = "one" })
		two := newRing(t, s.Store, func(o *keys.Options) { o.Instance = "two" })
		for _, ring := range []*keys.Keyring{one, two} {
			if err := ring.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// The other one takes nearly all of a limit.
		two.Press("E1")
		for _, ring := range []*keys.Keyring{two, one, two} {
			if err := ring.Divide(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if part := one.Part("E1"); part > .1 {
			t.Fatalf("before, its part is %v", part)
		}
		// What was said is lost, and the look at the others that this calls for fails.
		for _, name := range []string{"one", "two"} {
			if err := s.Leave(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Beat(t.Context(), name, 0, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		u.blind.Store(true)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { one.Run(ctx, time.Hour) })
		time.Sleep(3 * time.Second)
		u.blind.Store(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if part := one.Part("E1"); part != .5 {
			t.Errorf("nobody takes more than half, and its part is %v", part)
		}
		stop()
		running.Wait()
	})
}
