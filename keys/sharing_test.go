package keys_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// fleet is instances that run on one store.
type fleet struct {
	rings []*keys.Keyring
	stops []func()
}

// startFleet starts n instances that stop with the test.
func startFleet(t *testing.T, s keys.Store, n int) *fleet {
	t.Helper()
	f := &fleet{}
	for i := range n {
		ring := newRing(t, s, func(o *keys.Options) { o.Instance = fmt.Sprint("instance-", i) })
		if err := ring.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			ring.Run(ctx, time.Hour)
		}()
		stop := sync.OnceFunc(func() { cancel(); <-ended })
		t.Cleanup(stop)
		f.rings, f.stops = append(f.rings, ring), append(f.stops, stop)
	}
	return f
}

// take sends one request to an instance.
func take(t *testing.T, ring *keys.Keyring, id string) keys.Quota {
	t.Helper()
	key, err := ring.Find(id)
	if err != nil {
		t.Error(err)
		return keys.Quota{}
	}
	principal, err := ring.Admit(key)
	if err != nil {
		t.Error(err)
	}
	return principal.Take()
}

func limited(rate float64, burst int) func(*keys.Request) {
	return func(in *keys.Request) { in.Rate, in.Burst = &rate, &burst }
}

func TestShareOfBurst(t *testing.T) {
	s := openStore(t)
	f := startFleet(t, s, 3)
	for burst, want := range map[int]int{30: 10, 31: 10, 3: 1, 1: 1} {
		record, _ := create(t, f.rings[0], limited(.001, burst))
		// It takes a moment until all know of each other.
		within(t, 10*time.Second, "each has its part of the burst", func() bool {
			key, _ := create(t, f.rings[0], limited(.001, burst))
			for _, ring := range f.rings {
				if q := take(t, ring, key.ID); q.Remaining != want-1 {
					return false
				}
			}
			return true
		})
		allowed := 0
		for _, ring := range f.rings {
			for range burst + 1 {
				q := take(t, ring, record.ID)
				if q.Allowed {
					allowed++
				}
				if q.Burst != burst || q.Window != time.Duration(burst)*1000*time.Second {
					t.Errorf("the quota is %+v", q)
				}
			}
		}
		if allowed != 3*want {
			t.Errorf("a burst of %d: %d were allowed, want %d on each instance", burst, allowed, want)
		}
	}
}

func TestShareFollowsDemand(t *testing.T) {
	s := openStore(t)
	f := startFleet(t, s, 3)
	record, _ := create(t, f.rings[0], limited(100, 3))
	// An even share allows 33 of 80 a second.
	for _, i := range []int{0, 2} {
		tick := time.NewTicker(time.Second / 80)
		defer tick.Stop()
		refused := make([]bool, 80) // of the last second
		start := time.Now()
		within(t, 30*time.Second, "one instance allows nearly all of 80 a second", func() bool {
			count := 0
			for j := range refused {
				<-tick.C
				refused[j] = !take(t, f.rings[i], record.ID).Allowed
				if refused[j] {
					count++
				}
			}
			return count <= 4
		})
		t.Logf("instance %d: a second without refusals was over %.1f s after the first request", i, time.Since(start).Seconds())
	}
	// The last instance has the whole limit, also without demand.
	f.stops[1]()
	f.stops[2]()
	within(t, 20*time.Second, "the last instance has the whole burst", func() bool {
		key, _ := create(t, f.rings[0], limited(.001, 9))
		return take(t, f.rings[0], key.ID).Remaining == 8
	})
}

func TestShareSumKeepsLimit(t *testing.T) {
	s := openStore(t)
	f := startFleet(t, s, 3)
	const rate, burst, phases = 50, 20, 12
	record, _ := create(t, f.rings[0], limited(rate, burst))
	var allowed, sent atomic.Int64
	start := time.Now()
	// The load jumps: all instances, one alone, another one.
	for phase := range phases {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		var load sync.WaitGroup
		for i, ring := range f.rings {
			if phase%4 != 0 && phase%4 != i+1 {
				continue
			}
			load.Go(func() {
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					<-tick.C
					sent.Add(1)
					if take(t, ring, record.ID).Allowed {
						allowed.Add(1)
					}
				}
			})
		}
		load.Wait()
		cancel()
	}
	took := time.Since(start).Seconds()
	bound := rate*(took+3) + burst + 3
	if got := float64(allowed.Load()); got > bound {
		t.Errorf("%v allowed in %.1f s, want at most %.0f", got, took, bound)
	}
	t.Logf("%d of %d allowed in %.1f s; rate x time is %.0f, the bound %.0f", allowed.Load(), sent.Load(), took, rate*took, bound)
}

var errCut = fault.Wrap(fault.Unavailable, errors.New("cut off"))

// interruptible is a store whose UpdateShares a test can watch and fail.
type interruptible struct {
	keys.Store

	// inside runs after the instance has divided and before the transaction ends. With an error, it is rolled back.
	inside func() error
}

func (d *interruptible) UpdateShares(
	ctx context.Context, instance string, maxAge time.Duration, update func(map[string]keys.Instance) (string, bool),
) error {
	var failed error
	err := d.Store.UpdateShares(ctx, instance, maxAge, func(live map[string]keys.Instance) (string, bool) {
		shares, urgent := update(live)
		failed = d.inside()
		if failed != nil {
			return "\x00", false // no store can write this text
		}
		return shares, urgent
	})
	if failed != nil {
		return failed
	}
	return err
}

func TestShareFallsBeforeAndRisesAfterCommit(t *testing.T) {
	s := openStore(t)
	d := &interruptible{Store: s.Store, inside: func() error { return nil }}
	ring := func(name string, s keys.Store) *keys.Keyring {
		ring := newRing(t, s, func(o *keys.Options) { o.Instance = name })
		if err := ring.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return ring
	}
	one, two := ring("one", s.Store), ring("two", d)
	update := func(ring *keys.Keyring, want float64) {
		t.Helper()
		if err := ring.UpdateShares(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ring.Share("E1"); got < want-.05 || got > want+.05 {
			t.Errorf("the share is %v, want about %v", got, want)
		}
	}
	one.SetDemand("E1")
	update(one, .5) // the other half belongs to the other instance
	d.inside = func() error {
		if got := two.Share("E1"); got > .1 {
			t.Errorf("before the lower share is committed, it is %v here", got)
		}
		return nil
	}
	update(two, .03)
	update(one, .97)

	two.SetDemand("E1")
	update(two, .03)
	update(one, .5)
	d.inside = func() error {
		if got := two.Share("E1"); got > .1 {
			t.Errorf("before the higher share is committed, it is %v here", got)
		}
		return errCut
	}
	if err := two.UpdateShares(t.Context()); !errors.Is(err, errCut) {
		t.Errorf("an update that is rolled back: %v", err)
	}
	if got := two.Share("E1"); got > .1 {
		t.Errorf("after the rollback the share is %v", got)
	}
	d.inside = func() error { return nil }
	update(two, .5)

	// The demand moves to the first instance, and the first update of the second one is rolled back.
	two.ClearDemand("E1")
	d.inside = func() error { return errCut }
	if err := two.UpdateShares(t.Context()); !errors.Is(err, errCut) || two.Share("E1") > .1 {
		t.Errorf("a lower share that is rolled back: %v, it is %v here", err, two.Share("E1"))
	}
	d.inside = func() error { return nil }
	update(two, .03)
	update(one, .97)

	// The store loses the reports, as when it is restored.
	for _, name := range []string{"one", "two"} {
		if err := s.Leave(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Heartbeat(t.Context(), name, 0, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	update(one, .97)
	update(two, .03)
	if sum := one.Share("E1") + two.Share("E1"); sum > 1+1e-9 {
		t.Errorf("the shares add up to %v", sum)
	}
}
