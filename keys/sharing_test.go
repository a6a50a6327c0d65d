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

// fleet is some instances that follow one store.
type fleet struct {
	rings []*keys.Keyring
	stops []func()
}

// startFleet starts n instances, which end with the test.
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
		// All of them know of each other in a moment.
		within(t, 10*time.Second, "each lets its part of the burst through", func() bool {
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
					t.Errorf("the policy of the key is told as %+v", q)
				}
			}
		}
		if allowed != 3*want {
			t.Errorf("a burst of %d: %d were let through, want %d by each", burst, allowed, want)
		}
	}
}

func TestShareFollowsDemand(t *testing.T) {
	s := openStore(t)
	f := startFleet(t, s, 3)
	record, _ := create(t, f.rings[0], limited(100, 3))
	// An even part lets 33 of 80 a second through.
	for _, i := range []int{0, 2} {
		tick := time.NewTicker(time.Second / 80)
		defer tick.Stop()
		refused := make([]bool, 80) // of the last second
		began := time.Now()
		within(t, 30*time.Second, "one instance lets nearly all of 80 a second through", func() bool {
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
		t.Logf("instance %d: a second without refusals was over %.1f s after the first request", i, time.Since(began).Seconds())
	}
	// One alone has it all, also when nobody asks it for much.
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
	var allowed, asked atomic.Int64
	began := time.Now()
	// The load jumps about: all at once, one alone, another one.
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
					asked.Add(1)
					if take(t, ring, record.ID).Allowed {
						allowed.Add(1)
					}
				}
			})
		}
		load.Wait()
		cancel()
	}
	took := time.Since(began).Seconds()
	bound := rate*(took+3) + burst + 3
	if got := float64(allowed.Load()); got > bound {
		t.Errorf("%v let through in %.1f s, at most %.0f may be", got, took, bound)
	}
	t.Logf("%d of %d let through in %.1f s; rate x time is %.0f, the bound %.0f", allowed.Load(), asked.Load(), took, rate*took, bound)
}

var errCut = fault.Wrap(fault.Unavailable, errors.New("cut off"))

// dividing is a store that stops in the middle of a division.
type dividing struct {
	keys.Store

	// inside runs when an instance has decided and nobody else can read it yet; an error ends the division.
	inside func() error
}

func (d *dividing) UpdateShares(
	ctx context.Context, instance string, within time.Duration, divide func(map[string]keys.Instance) (string, bool),
) error {
	var failed error
	err := d.Store.UpdateShares(ctx, instance, within, func(live map[string]keys.Instance) (string, bool) {
		shares, told := divide(live)
		failed = d.inside()
		if failed != nil {
			return "\x00", false // which no store keeps
		}
		return shares, told
	})
	if failed != nil {
		return failed
	}
	return err
}

func TestShareFallsBeforeAndRisesAfterCommit(t *testing.T) {
	s := openStore(t)
	d := &dividing{Store: s.Store, inside: func() error { return nil }}
	ring := func(name string, s keys.Store) *keys.Keyring {
		ring := newRing(t, s, func(o *keys.Options) { o.Instance = name })
		if err := ring.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return ring
	}
	one, two := ring("one", s.Store), ring("two", d)
	divide := func(ring *keys.Keyring, want float64) {
		t.Helper()
		if err := ring.UpdateShares(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ring.Share("E1"); got < want-.05 || got > want+.05 {
			t.Errorf("the part is %v, want about %v", got, want)
		}
	}
	one.SetDemand("E1")
	divide(one, .5) // the other half is the other one's
	d.inside = func() error {
		if got := two.Share("E1"); got > .1 {
			t.Errorf("while it says that it needs little, it lets %v through", got)
		}
		return nil
	}
	divide(two, .03)
	divide(one, .97)

	two.SetDemand("E1")
	divide(two, .03)
	divide(one, .5)
	d.inside = func() error {
		if got := two.Share("E1"); got > .1 {
			t.Errorf("before it has said that it takes more, it lets %v through", got)
		}
		return errCut
	}
	if err := two.UpdateShares(t.Context()); !errors.Is(err, errCut) {
		t.Errorf("a division that failed: %v", err)
	}
	if got := two.Share("E1"); got > .1 {
		t.Errorf("after it could not say so, it lets %v through", got)
	}
	d.inside = func() error { return nil }
	divide(two, .5)

	// The load moves to one of them, and what the other one gives up cannot be said once.
	two.ClearDemand("E1")
	d.inside = func() error { return errCut }
	if err := two.UpdateShares(t.Context()); !errors.Is(err, errCut) || two.Share("E1") > .1 {
		t.Errorf("giving up a part: %v, it lets %v through", err, two.Share("E1"))
	}
	d.inside = func() error { return nil }
	divide(two, .03)
	divide(one, .97)

	// What was said is lost, as with a store that was restored.
	for _, name := range []string{"one", "two"} {
		if err := s.Leave(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Heartbeat(t.Context(), name, 0, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	divide(one, .97)
	divide(two, .03)
	if sum := one.Share("E1") + two.Share("E1"); sum > 1+1e-9 {
		t.Errorf("the parts add up to %v", sum)
	}
}
