package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/store"
)

func instances(t *testing.T, s *store.Store) {
	isInstances(t, s, time.Time{}, map[string]int64{})
	must(t, s.Leave(t.Context(), "nobody"))
	must(t, s.Beat(t.Context(), "one", 0, at(0)))
	must(t, s.Beat(t.Context(), "two", 7, at(10)))
	isInstances(t, s, time.Time{}, map[string]int64{"one": 0, "two": 7})
	isInstances(t, s, at(0), map[string]int64{"one": 0, "two": 7})
	isInstances(t, s, at(1), map[string]int64{"two": 7})
	isInstances(t, s, at(11), map[string]int64{})
	must(t, s.Beat(t.Context(), "one", 9, at(20)))
	isInstances(t, s, at(11), map[string]int64{"one": 9})
	isInstances(t, s, at(0), map[string]int64{"one": 9, "two": 7})
	must(t, s.Leave(t.Context(), "one"))
	must(t, s.Leave(t.Context(), "one"))
	isInstances(t, s, time.Time{}, map[string]int64{"two": 7})
	must(t, s.Beat(t.Context(), "one", 10, at(30)))
	isInstances(t, s, time.Time{}, map[string]int64{"one": 10, "two": 7})
	isVersion(t, s, 0)
}

func instancesLost(t *testing.T, s *store.Store) {
	const day = 24 * time.Hour
	must(t, s.Beat(t.Context(), "lost", 1, at(0)))
	must(t, s.Beat(t.Context(), "older", 1, at(10)))
	must(t, s.Beat(t.Context(), "new", 1, at(10).Add(day)))
	isInstances(t, s, time.Time{}, map[string]int64{"older": 1, "new": 1})
	// What was forgotten and lives after all is back with its next beat.
	must(t, s.Beat(t.Context(), "lost", 2, at(20).Add(day)))
	isInstances(t, s, at(20), map[string]int64{"lost": 2, "new": 1})
}

func instancesTogether(t *testing.T, s *store.Store) {
	want := map[string]int64{}
	for i := range 6 {
		want[fmt.Sprint(i)] = 19
	}
	together(12, func(i int) { // two goroutines for each name, as two processes that share one by mistake
		for n := range 20 {
			if err := s.Beat(t.Context(), fmt.Sprint(i%6), int64(n), at(n)); err != nil {
				t.Error(err)
			}
		}
	})
	got, err := s.Instances(t.Context(), time.Time{})
	must(t, err)
	if len(got) != len(want) {
		t.Errorf("got %v, want %d instances", got, len(want))
	}
	together(6, func(i int) {
		if err := s.Beat(t.Context(), fmt.Sprint(i), 19, at(19)); err != nil {
			t.Error(err)
		}
	})
	isInstances(t, s, at(19), want)
}

func isInstances(t *testing.T, s *store.Store, since time.Time, want map[string]int64) {
	t.Helper()
	got, err := s.Instances(t.Context(), since)
	must(t, err)
	same(t, "the instances", got, want)
}
