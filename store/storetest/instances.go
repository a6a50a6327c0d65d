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

// anyAge is longer than any of these tests takes.
const anyAge = time.Hour

// heartbeat writes a heartbeat of an instance.
func heartbeat(t *testing.T, s *store.Store, instance string, version int64) keys.Fleet {
	t.Helper()
	fleet, err := s.Heartbeat(t.Context(), instance, version, anyAge)
	must(t, err)
	return fleet
}

func instances(t *testing.T, s *store.Store) {
	isInstances(t, s, anyAge, map[string]keys.Instance{})
	must(t, s.Leave(t.Context(), "nobody"))
	epochGrew := followEpoch(t, s)
	epochGrew("an instance that nobody knew left", false)
	heartbeat(t, s, "one", 0)
	epochGrew("one came", true)
	heartbeat(t, s, "two", 7)
	epochGrew("two came", true)
	isInstances(t, s, anyAge, map[string]keys.Instance{"one": {}, "two": {Version: 7}})
	heartbeat(t, s, "one", 9)
	epochGrew("a second heartbeat", false)
	isInstances(t, s, anyAge, map[string]keys.Instance{"one": {Version: 9}, "two": {Version: 7}})
	// No heartbeat is from the future.
	isInstances(t, s, -anyAge, map[string]keys.Instance{})
	isFleet(t, "two see one another", heartbeat(t, s, "one", 9), keys.Fleet{Others: 1})
	must(t, s.UpdateShares(t.Context(), "two", anyAge, func(map[string]keys.Instance) (string, bool) { return "{}", false }))
	isFleet(t, "another one has shares", heartbeat(t, s, "one", 9), keys.Fleet{Others: 1, Sharing: true})
	isFleet(t, "it has shares itself", heartbeat(t, s, "two", 7), keys.Fleet{Others: 1, Sharing: true})
	must(t, s.UpdateShares(t.Context(), "two", anyAge, func(map[string]keys.Instance) (string, bool) { return "", false }))
	epochGrew("heartbeats and shares that are not urgent", false)
	fleet, err := s.Heartbeat(t.Context(), "one", 9, -anyAge)
	must(t, err)
	isFleet(t, "no heartbeat is from the future", fleet, keys.Fleet{})
	must(t, s.Leave(t.Context(), "one"))
	epochGrew("one left", true)
	isFleet(t, "one is alone", heartbeat(t, s, "two", 7), keys.Fleet{})
	must(t, s.Leave(t.Context(), "one"))
	epochGrew("one left again", false)
	isInstances(t, s, anyAge, map[string]keys.Instance{"two": {Version: 7}})
	isFleet(t, "one came back to another", heartbeat(t, s, "one", 10), keys.Fleet{Others: 1})
	epochGrew("one came back", true)
	isInstances(t, s, anyAge, map[string]keys.Instance{"one": {Version: 10}, "two": {Version: 7}})
	isVersion(t, s, 0)
}

func isFleet(t *testing.T, when string, got, want keys.Fleet) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %+v, want %+v", when, got, want)
	}
}

// followEpoch gives a function that checks whether the epoch of the fleet has grown since its last call.
func followEpoch(t *testing.T, s *store.Store) func(when string, want bool) {
	t.Helper()
	var before int64
	epochGrew := func(when string, want bool) {
		t.Helper()
		changes, err := s.KeyChanges(t.Context(), 0, 1000)
		must(t, err)
		if moved := changes.Epoch > before; moved != want {
			t.Errorf("when %s: the epoch went from %d to %d", when, before, changes.Epoch)
		}
		before = changes.Epoch
	}
	changes, err := s.KeyChanges(t.Context(), 0, 1000)
	must(t, err)
	before = changes.Epoch
	return epochGrew
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
	got, err := s.Instances(t.Context(), anyAge)
	must(t, err)
	if len(got) != len(want) {
		t.Errorf("got %v, want %d instances", got, len(want))
	}
	together(6, func(i int) {
		if _, err := s.Heartbeat(t.Context(), fmt.Sprint(i), 19, time.Minute); err != nil {
			t.Error(err)
		}
	})
	isInstances(t, s, anyAge, want)
}

func sharesUpdated(t *testing.T, s *store.Store) {
	keep := func(shares string, urgent bool) func(map[string]keys.Instance) (string, bool) {
		return func(map[string]keys.Instance) (string, bool) { return shares, urgent }
	}
	isFault(t, "an instance without a heartbeat", s.UpdateShares(t.Context(), "one", anyAge, keep("x", true)), fault.NotFound)
	heartbeat(t, s, "one", 1)
	heartbeat(t, s, "two", 2)
	epochGrew := followEpoch(t, s)
	must(t, s.UpdateShares(t.Context(), "one", anyAge, keep(`{"E1":{}}`, false)))
	epochGrew("the shares are not urgent", false)
	must(t, s.UpdateShares(t.Context(), "two", anyAge, func(live map[string]keys.Instance) (string, bool) {
		same(t, "what update is given", live, map[string]keys.Instance{"one": {Version: 1, Shares: `{"E1":{}}`}, "two": {Version: 2}})
		return "second", true
	}))
	epochGrew("the shares are urgent", true)
	heartbeat(t, s, "two", 3)
	isInstances(t, s, anyAge, map[string]keys.Instance{"one": {Version: 1, Shares: `{"E1":{}}`}, "two": {Version: 3, Shares: "second"}})
	isFault(t, "one that is no longer live", s.UpdateShares(t.Context(), "one", -anyAge, keep("x", true)), fault.NotFound)
	isFault(t, "a text that cannot be kept", s.UpdateShares(t.Context(), "one", anyAge, keep("\x00", true)), fault.Invalid)
	epochGrew("it was refused", false)
	// An instance that comes back has no shares.
	must(t, s.Leave(t.Context(), "one"))
	heartbeat(t, s, "one", 1)
	isInstances(t, s, anyAge, map[string]keys.Instance{"one": {Version: 1}, "two": {Version: 3, Shares: "second"}})
	isVersion(t, s, 0)
}

// sharesUpdatedTogether has many instances write one number more than the highest: each must read what all before it wrote.
func sharesUpdatedTogether(t *testing.T, s *store.Store) {
	const instances, rounds = 6, 15
	for i := range instances {
		heartbeat(t, s, fmt.Sprint(i), 0)
	}
	together(instances, func(i int) {
		for range rounds {
			err := s.UpdateShares(t.Context(), fmt.Sprint(i), anyAge, func(live map[string]keys.Instance) (string, bool) {
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
	live, err := s.Instances(t.Context(), anyAge)
	must(t, err)
	var counted []int
	for _, instance := range live {
		counted = append(counted, len(instance.Shares))
	}
	if most := slices.Max(counted); most != instances*rounds {
		t.Errorf("counted to %d, want %d: some did not read what others wrote", most, instances*rounds)
	}
}

func isInstances(t *testing.T, s *store.Store, maxAge time.Duration, want map[string]keys.Instance) {
	t.Helper()
	got, err := s.Instances(t.Context(), maxAge)
	must(t, err)
	if got == nil || !maps.Equal(got, want) {
		t.Errorf("the instances are %v, want %v", got, want)
	}
}
