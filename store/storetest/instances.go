package storetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// within is longer than any of these tests takes.
const within = time.Hour

// beat is the heartbeat of an instance.
func beat(t *testing.T, s *store.Store, instance string, version int64) keys.Fleet {
	t.Helper()
	fleet, err := s.Heartbeat(t.Context(), instance, version, within)
	must(t, err)
	return fleet
}

func instances(t *testing.T, s *store.Store) {
	isInstances(t, s, within, map[string]keys.Instance{})
	must(t, s.Leave(t.Context(), "nobody"))
	turns := follow(t, s)
	turns("an instance that nobody knew left", false)
	beat(t, s, "one", 0)
	turns("one came", true)
	beat(t, s, "two", 7)
	turns("two came", true)
	isInstances(t, s, within, map[string]keys.Instance{"one": {}, "two": {Version: 7}})
	beat(t, s, "one", 9)
	turns("one beat again", false)
	isInstances(t, s, within, map[string]keys.Instance{"one": {Version: 9}, "two": {Version: 7}})
	// Nobody has beaten in the future.
	isInstances(t, s, -within, map[string]keys.Instance{})
	isFleet(t, "two see one another", beat(t, s, "one", 9), keys.Fleet{Others: 1})
	must(t, s.UpdateShares(t.Context(), "two", within, func(map[string]keys.Instance) (string, bool) { return "{}", false }))
	isFleet(t, "another divides", beat(t, s, "one", 9), keys.Fleet{Others: 1, Sharing: true})
	isFleet(t, "it divides itself", beat(t, s, "two", 7), keys.Fleet{Others: 1, Sharing: true})
	must(t, s.UpdateShares(t.Context(), "two", within, func(map[string]keys.Instance) (string, bool) { return "", false }))
	turns("they beat and divided", false)
	fleet, err := s.Heartbeat(t.Context(), "one", 9, -within)
	must(t, err)
	isFleet(t, "nobody has beaten in the future", fleet, keys.Fleet{})
	must(t, s.Leave(t.Context(), "one"))
	turns("one left", true)
	isFleet(t, "one is alone", beat(t, s, "two", 7), keys.Fleet{})
	must(t, s.Leave(t.Context(), "one"))
	turns("one left again", false)
	isInstances(t, s, within, map[string]keys.Instance{"two": {Version: 7}})
	isFleet(t, "one came back to another", beat(t, s, "one", 10), keys.Fleet{Others: 1})
	turns("one came back", true)
	isInstances(t, s, within, map[string]keys.Instance{"one": {Version: 10}, "two": {Version: 7}})
	isVersion(t, s, 0)
}

func isFleet(t *testing.T, when string, got, want keys.Fleet) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %+v, want %+v", when, got, want)
	}
}

// follow gives a function that says whether the turn of the fleet has moved on since it was called before.
func follow(t *testing.T, s *store.Store) func(when string, want bool) {
	t.Helper()
	var before int64
	turns := func(when string, want bool) {
		t.Helper()
		changes, err := s.KeyChanges(t.Context(), 0, 1000)
		must(t, err)
		if moved := changes.Epoch > before; moved != want {
			t.Errorf("when %s: the turn went from %d to %d", when, before, changes.Epoch)
		}
		before = changes.Epoch
	}
	changes, err := s.KeyChanges(t.Context(), 0, 1000)
	must(t, err)
	before = changes.Epoch
	return turns
}

func instancesTogether(t *testing.T, s *store.Store) {
	want := map[string]keys.Instance{}
	for i := range 6 {
		want[fmt.Sprint(i)] = keys.Instance{Version: 19}
	}
	together(12, func(i int) { // two goroutines for each name, as two processes that share one by mistake
		for n := range 20 {
			if _, err := s.Heartbeat(t.Context(), fmt.Sprint(i%6), int64(n), time.Minute); err != nil {
				t.Error(err)
			}
		}
	})
	got, err := s.Instances(t.Context(), within)
	must(t, err)
	if len(got) != len(want) {
		t.Errorf("got %v, want %d instances", got, len(want))
	}
	together(6, func(i int) {
		if _, err := s.Heartbeat(t.Context(), fmt.Sprint(i), 19, time.Minute); err != nil {
			t.Error(err)
		}
	})
	isInstances(t, s, within, want)
}

func limitsDivided(t *testing.T, s *store.Store) {
	keep := func(shares string, told bool) func(map[string]keys.Instance) (string, bool) {
		return func(map[string]keys.Instance) (string, bool) { return shares, told }
	}
	isFault(t, "an instance that has not beaten", s.UpdateShares(t.Context(), "one", within, keep("x", true)), fault.NotFound)
	beat(t, s, "one", 1)
	beat(t, s, "two", 2)
	turns := follow(t, s)
	must(t, s.UpdateShares(t.Context(), "one", within, keep(`{"E1":{}}`, false)))
	turns("nothing was told", false)
	must(t, s.UpdateShares(t.Context(), "two", within, func(live map[string]keys.Instance) (string, bool) {
		same(t, "what divide is given", live, map[string]keys.Instance{"one": {Version: 1, Shares: `{"E1":{}}`}, "two": {Version: 2}})
		return "second", true
	}))
	turns("something was told", true)
	beat(t, s, "two", 3)
	isInstances(t, s, within, map[string]keys.Instance{"one": {Version: 1, Shares: `{"E1":{}}`}, "two": {Version: 3, Shares: "second"}})
	isFault(t, "one that is no longer live", s.UpdateShares(t.Context(), "one", -within, keep("x", true)), fault.NotFound)
	isFault(t, "a text that cannot be kept", s.UpdateShares(t.Context(), "one", within, keep("\x00", true)), fault.Invalid)
	turns("it was refused", false)
	// Who comes back has said nothing yet.
	must(t, s.Leave(t.Context(), "one"))
	beat(t, s, "one", 1)
	isInstances(t, s, within, map[string]keys.Instance{"one": {Version: 1}, "two": {Version: 3, Shares: "second"}})
	isVersion(t, s, 0)
}

// limitsDividedTogether has many instances count each other's words: each must see what all before it have kept.
func limitsDividedTogether(t *testing.T, s *store.Store) {
	const instances, rounds = 6, 15
	for i := range instances {
		beat(t, s, fmt.Sprint(i), 0)
	}
	together(instances, func(i int) {
		for range rounds {
			err := s.UpdateShares(t.Context(), fmt.Sprint(i), within, func(live map[string]keys.Instance) (string, bool) {
				most := 0
				for _, other := range live {
					most = max(most, len(other.Shares))
				}
				return fmt.Sprintf("%0*d", most+1, 0), true
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	live, err := s.Instances(t.Context(), within)
	must(t, err)
	var counted []int
	for _, instance := range live {
		counted = append(counted, len(instance.Shares))
	}
	if most := slices.Max(counted); most != instances*rounds {
		t.Errorf("counted to %d, want %d: some did not see what others kept", most, instances*rounds)
	}
}

func isInstances(t *testing.T, s *store.Store, within time.Duration, want map[string]keys.Instance) {
	t.Helper()
	got, err := s.Instances(t.Context(), within)
	must(t, err)
	if got == nil || !maps.Equal(got, want) {
		t.Errorf("the instances are %v, want %v", got, want)
	}
}
