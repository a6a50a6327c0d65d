package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func keyChanged(t *testing.T, s *store.Store) {
	want := addKey(t, s, newKey("E1"))
	other := addKey(t, s, newKey("E2"))
	got, err := s.ChangeKey(t.Context(), "E1", newEvent(keys.ActionDisable, "E1"), func(r *keys.Record) (bool, error) {
		same(t, "what change is given", *r, want)
		// Of all this only the last four are what a change may change.
		*r = keys.Record{
			ID: "E2", Client: "other", Kind: "hs256", Environment: "live", Rate: 9, Burst: 9, Hint: "other",
			RotatedFrom: "E3", CreatedAt: at(99), LastUsedAt: at(99), Version: 99,
			State: keys.Disabled, ExpiresAt: at(50), Material: []byte("sealed again"), RotatedTo: "E4",
		}
		return true, nil
	})
	must(t, err)
	want.State, want.ExpiresAt, want.Material, want.RotatedTo = keys.Disabled, at(50), []byte("sealed again"), "E4"
	want.Version = 3
	same(t, "changed", got, want)
	isKey(t, s, want)
	isKey(t, s, other)
	isVersion(t, s, 3)
	isAudit(t, s, store.AuditFilter{Key: "E1"}, newEvent(keys.ActionCreate, "E1"), newEvent(keys.ActionDisable, "E1"))

	got, err = s.ChangeKey(t.Context(), "E1", newEvent(keys.ActionEnable, "E1"), func(r *keys.Record) (bool, error) {
		r.ExpiresAt, r.RotatedTo = time.Time{}, ""
		return true, nil
	})
	must(t, err)
	want.ExpiresAt, want.RotatedTo, want.Version = time.Time{}, "", 4
	same(t, "changed again", got, want)
	isKey(t, s, want)
}

func keyNotChanged(t *testing.T, s *store.Store) {
	want := addKey(t, s, newKey("E1"))
	plain, classified := errors.New("no"), fault.New(fault.Conflict)
	tests := []struct {
		name    string
		changed bool
		err     error
	}{
		{"not changed", false, nil},
		{"an error of its own", true, plain},
		{"a fault", false, classified},
	}
	spoil := func(r *keys.Record) {
		r.State, r.ExpiresAt = keys.Revoked, time.Time{}
		r.Material[0]++
	}
	for _, tt := range tests {
		got, err := s.ChangeKey(t.Context(), "E1", newEvent(keys.ActionRevoke, "E1"), func(r *keys.Record) (bool, error) {
			spoil(r)
			return tt.changed, tt.err
		})
		if err != tt.err { //nolint:errorlint // it is to be the same error, not one that has it inside
			t.Errorf("%s: got error %v, want %v as it is", tt.name, err, tt.err)
		}
		if err == nil {
			same(t, tt.name, got, want)
		} else {
			same(t, tt.name, got, keys.Record{})
		}
	}
	old, successor, err := s.RotateKey(t.Context(), "E1", newEvent(keys.ActionRotate, "E1"),
		func(r *keys.Record) (keys.Record, error) {
			spoil(r)
			return newKey("E2"), plain
		})
	if err != plain { //nolint:errorlint // as above
		t.Errorf("rotate: got error %v, want %v as it is", err, plain)
	}
	same(t, "the keys of a refused rotation", []keys.Record{old, successor}, make([]keys.Record, 2))
	isKey(t, s, want)
	_, err = s.Key(t.Context(), "E2")
	isFault(t, "the refused successor", err, fault.NotFound)
	isVersion(t, s, 1)
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, "E1"))
}

func keyChangePanics(t *testing.T, s *store.Store) {
	want := addKey(t, s, newKey("E1"))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = s.ChangeKey(t.Context(), "E1", newEvent(keys.ActionRevoke, "E1"), func(r *keys.Record) (bool, error) {
			r.State = keys.Revoked
			panic("in the middle")
		})
	}()
	isKey(t, s, want)
	setState(t, s, "E1", keys.Disabled)
	isVersion(t, s, 2)
}

func keyVersions(t *testing.T, s *store.Store) {
	const writers, changes = 8, 20
	for i := range writers {
		addKey(t, s, newKey(fmt.Sprint("E", i)))
	}
	versions := make([][]int64, writers)
	together(writers, func(i int) {
		for n := range changes {
			id := fmt.Sprint("E", i)
			r, err := s.ChangeKey(t.Context(), id, newEvent(keys.ActionRewrap, id), func(r *keys.Record) (bool, error) {
				r.Material = append(r.Material, byte(n))
				return n%4 != 3, nil // every fourth time nothing changes
			})
			if err != nil {
				t.Error(err)
			} else if n%4 != 3 {
				versions[i] = append(versions[i], r.Version)
			}
		}
	})
	var all []int64
	for i, own := range versions {
		if !slices.IsSorted(own) {
			t.Errorf("the versions of one key fall: %v", own)
		}
		if r, err := s.Key(t.Context(), fmt.Sprint("E", i)); err != nil || r.Version != own[len(own)-1] {
			t.Errorf("key %d has version %d, %v, want that of its last change, %d", i, r.Version, err, own[len(own)-1])
		}
		all = append(all, own...)
	}
	slices.Sort(all)
	for i, version := range all {
		if version != int64(writers+i+1) {
			t.Fatalf("change %d of all has version %d, want one more than the change before", i, version)
		}
	}
	isVersion(t, s, int64(writers+len(all)))
}

func keyChangesNotLost(t *testing.T, s *store.Store) {
	const writers, changes = 8, 20
	addKey(t, s, newKey("E1"))
	together(writers, func(int) {
		for range changes {
			_, err := s.ChangeKey(t.Context(), "E1", newEvent(keys.ActionRewrap, "E1"), func(r *keys.Record) (bool, error) {
				r.ExpiresAt = r.ExpiresAt.Add(time.Microsecond)
				return true, nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	want := newKey("E1")
	want.ExpiresAt, want.Version = want.ExpiresAt.Add(writers*changes*time.Microsecond), 1+writers*changes
	isKey(t, s, want)
}

func keyChangesSince(t *testing.T, s *store.Store) {
	isVersion(t, s, 0)
	first, err := s.KeyChanges(t.Context(), 0, 1000)
	must(t, err)
	var made []keys.Record
	for i := range 4 {
		made = append(made, addKey(t, s, newKey(fmt.Sprint("E", i))))
	}
	made[1] = setState(t, s, "E1", keys.Disabled)
	for since, want := range map[int64][]keys.Record{
		math.MinInt64: {made[0], made[2], made[3], made[1]},
		0:             {made[0], made[2], made[3], made[1]},
		1:             {made[2], made[3], made[1]},
		4:             {made[1]},
		5:             nil,
		6:             nil,
	} {
		changes, err := s.KeyChanges(t.Context(), since, 1000)
		must(t, err)
		if changes.Version != 5 || !changes.ServerStarted.Equal(first.ServerStarted) {
			t.Errorf("since %d: the version is %d, want 5, of a server that began %v, as before %v", since, changes.Version, changes.ServerStarted, first.ServerStarted)
		}
		var changed []keys.Record
		for _, change := range changes.Keys {
			changed = append(changed, change.Record)
			if change.Age < 0 || change.Age > time.Minute {
				t.Errorf("%s changed %v ago", change.ID, change.Age)
			}
		}
		slices.SortFunc(changed, byVersion)
		same(t, fmt.Sprint("since ", since), changed, want)
	}
}

func keyChangesTooMany(t *testing.T, s *store.Store) {
	for i := range 4 {
		addKey(t, s, newKey(fmt.Sprint("E", i)))
	}
	for since, want := range map[int64]int{0: -1, 1: 3, 2: 2, 4: 0} {
		changes, err := s.KeyChanges(t.Context(), since, 3)
		must(t, err)
		if changes.Version != 4 || changes.TooMany != (want < 0) || len(changes.Keys) != max(0, want) {
			t.Errorf("at most 3 since %d of 4: version %d, %d keys, too many: %v", since, changes.Version, len(changes.Keys), changes.TooMany)
		}
	}
}

func byVersion(a, b keys.Record) int { return int(a.Version - b.Version) }

// keyChangesFollowed follows the store as an instance does, while others change keys: it has to see every change, and
// no version before the changes that it counts.
func keyChangesFollowed(t *testing.T, s *store.Store) {
	const writers, changes = 4, 30
	followed := map[string]keys.Record{}
	var seen int64
	follow := func() {
		news, err := s.KeyChanges(t.Context(), seen, 1000)
		if err != nil || news.Version < seen {
			t.Errorf("version %d after %d, %v", news.Version, seen, err)
			return
		}
		for _, r := range news.Keys {
			if r.Version <= seen || r.Version > news.Version {
				t.Errorf("key %s of version %d among the changes from %d to %d", r.ID, r.Version, seen, news.Version)
			}
			followed[r.ID] = r.Record
		}
		seen = news.Version
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(writers, func(i int) {
			id := fmt.Sprint("E", i)
			_, err := s.CreateKey(t.Context(), newKey(id), newEvent(keys.ActionCreate, id))
			for n := range changes {
				if err != nil {
					t.Error(err)
					return
				}
				_, err = s.ChangeKey(t.Context(), id, newEvent(keys.ActionRewrap, id), func(r *keys.Record) (bool, error) {
					r.Material = []byte{byte(n)}
					return true, nil
				})
			}
		})
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		follow()
	}
	if seen != writers*(changes+1) || len(followed) != writers {
		t.Errorf("followed %d keys to version %d, want %d to %d", len(followed), seen, writers, writers*(changes+1))
	}
	for _, r := range followed {
		isKey(t, s, r)
	}
}

func keysTouched(t *testing.T, s *store.Store) {
	one, two := addKey(t, s, newKey("E1")), addKey(t, s, newKey("E2"))
	touch := func(used map[string]time.Time) {
		t.Helper()
		must(t, s.TouchKeys(t.Context(), used))
		isKey(t, s, one)
		isKey(t, s, two)
	}
	touch(nil)
	one.LastUsedAt = at(50)
	touch(map[string]time.Time{"E1": at(50), "nobody": at(50), "": at(50)})
	two.LastUsedAt = at(70)
	touch(map[string]time.Time{"E1": at(49), "E2": at(70)})
	touch(map[string]time.Time{"E1": at(50), "E2": {}})
	one.LastUsedAt = at(51)
	touch(map[string]time.Time{"E1": at(51)})
	isVersion(t, s, 2)

	// Neither a change nor another writer takes a later time back.
	together(8, func(i int) {
		for n := range 20 {
			if err := s.TouchKeys(t.Context(), map[string]time.Time{"E1": at(100 + n*8 + i), "E2": at(200 - n)}); err != nil {
				t.Error(err)
			}
		}
	})
	one.LastUsedAt, two.LastUsedAt = at(100+19*8+7), at(200)
	one = setState(t, s, "E1", keys.Disabled)
	if !one.LastUsedAt.Equal(at(100 + 19*8 + 7)) {
		t.Errorf("last used %v after a change", one.LastUsedAt)
	}
	isKey(t, s, one)
	isKey(t, s, two)
}
