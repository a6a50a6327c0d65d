package keys_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-api/latchkey/keys"
)

// unreachable is a store that can be cut off.
type unreachable struct {
	keys.Store
	cut   atomic.Bool
	blind atomic.Bool // only Instances fails
}

func (u *unreachable) Instances(ctx context.Context, within time.Duration) (map[string]keys.Instance, error) {
	if u.cut.Load() || u.blind.Load() {
		return nil, errCut
	}
	return u.Store.Instances(ctx, within)
}

func (u *unreachable) Heartbeat(ctx context.Context, instance string, version int64, within time.Duration) (keys.Fleet, error) {
	if u.cut.Load() {
		return keys.Fleet{}, errCut
	}
	return u.Store.Heartbeat(ctx, instance, version, within)
}

func TestShareStaysWithoutStore(t *testing.T) {
	s := openStore(t)
	u := &unreachable{Store: s.Store}
	one := newRing(t, u, func(o *keys.Options) { o.Instance = "one" })
	for _, name := range []string{"two", "three"} {
		if _, err := s.Heartbeat(t.Context(), name, 0, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	remaining := func() int {
		t.Helper()
		key, _ := create(t, one, limited(.001, 30))
		return take(t, one, key.ID).Remaining + 1
	}
	if got := remaining(); got != 10 {
		t.Fatalf("one of three lets %d pass", got)
	}
	for _, name := range []string{"two", "three"} {
		if err := s.Leave(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	u.cut.Store(true)
	if err := one.UpdateShares(t.Context()); err == nil {
		t.Error("the store is cut off, and UpdateShares succeeds")
	}
	if got := remaining(); got != 10 {
		t.Errorf("without a store it lets %d pass", got)
	}
	// The store answers, but has no heartbeat of this instance.
	if err := s.Leave(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	u.cut.Store(false)
	if err := one.UpdateShares(t.Context()); err != nil {
		t.Error(err)
	}
	if got := remaining(); got != 10 {
		t.Errorf("without a heartbeat it lets %d pass", got)
	}
	if _, err := s.Heartbeat(t.Context(), "one", 0, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := one.UpdateShares(t.Context()); err != nil {
		t.Error(err)
	}
	if got := remaining(); got != 30 {
		t.Errorf("alone it lets %d pass", got)
	}
}

func TestShareLeaseEnds(t *testing.T) {
	s := openStore(t)
	if _, err := s.Heartbeat(t.Context(), "dead", 0, time.Minute); err != nil { // and never again
		t.Fatal(err)
	}
	f := startFleet(t, s, 1)
	remaining := func() int {
		t.Helper()
		key, _ := create(t, f.rings[0], limited(.001, 9))
		return take(t, f.rings[0], key.ID).Remaining
	}
	if got := remaining(); got != 3 {
		t.Errorf("one of two, with a burst of 9: %d remain after the first request", got)
	}
	within(t, 20*time.Second, "the lease of the other one ends", func() bool { return remaining() == 8 })
}

func TestShareLostByStoreEnds(t *testing.T) {
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
		// The other instance takes nearly all of the limit.
		two.SetDemand("E1")
		for _, ring := range []*keys.Keyring{two, one, two} {
			if err := ring.UpdateShares(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if share := one.Share("E1"); share > .1 {
			t.Fatalf("at first its share is %v", share)
		}
		// The store loses the reports, and this instance cannot read the others for three seconds.
		for _, name := range []string{"one", "two"} {
			if err := s.Leave(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Heartbeat(t.Context(), name, 0, time.Minute); err != nil {
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
		if share := one.Share("E1"); share != .5 {
			t.Errorf("without any demand its share is %v", share)
		}
		stop()
		running.Wait()
	})
}
