package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// at is n microseconds after a fixed time: the store keeps microseconds.
func at(n int) time.Time {
	return time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Microsecond)
}

// newKey is a key with a value in every field that its creation may set. The store sets the version.
func newKey(id string) keys.Record {
	return keys.Record{
		ID: id, Client: "acme", Kind: "ed25519", Environment: "test",
		Scopes: []keys.Scope{keys.AccountsRead, keys.KeysAdmin, "notes:of-a-newer-version"}, Rate: 0.1, Burst: 7, State: keys.Enabled,
		Hint: id + "...abcd", Material: []byte{0, 1, 0xff, '\'', 0}, CreatedAt: at(1), ExpiresAt: at(1_000_000), Level: 2,
	}
}

func newEvent(action, target string) keys.Event {
	return keys.Event{
		At: at(3), Actor: keys.Actor{Key: "Eadmin", RequestID: "request-1", Address: "192.0.2.7"},
		Action: action, Target: target, Count: 1,
	}
}

// addKey creates a key, and returns it with its version.
func addKey(t *testing.T, s *store.Store, r keys.Record) keys.Record {
	t.Helper()
	made, err := s.CreateKey(t.Context(), r, newEvent(keys.ActionCreate, r.ID))
	must(t, err)
	return made
}

func keyCreated(t *testing.T, s *store.Store) {
	full := newKey("Efull")
	full.RotatedFrom, full.RotatedTo, full.LastUsedAt = "Eold", "Enew", at(5)
	bare := keys.Record{ID: "Ebare", Material: []byte{1}, CreatedAt: at(0)}
	for i, want := range []keys.Record{full, bare} {
		got, err := s.CreateKey(t.Context(), want, newEvent(keys.ActionCreate, want.ID))
		must(t, err)
		want.Version = int64(i + 1)
		same(t, "created", got, want)
		isKey(t, s, want)
	}
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, "Efull"), newEvent(keys.ActionCreate, "Ebare"))
}

func keyTimes(t *testing.T, s *store.Store) {
	want := newKey("Etimes")
	given := want
	zone := time.FixedZone("east", 3600)
	given.CreatedAt, given.ExpiresAt = want.CreatedAt.In(zone).Add(999), want.ExpiresAt.Add(1)
	got := addKey(t, s, given)
	want.Version = 1
	same(t, "created", got, want)
	isKey(t, s, want)
	got, err := s.ChangeKey(t.Context(), want.ID, newEvent(keys.ActionRotate, want.ID), func(r *keys.Record) (bool, error) {
		r.ExpiresAt = at(77).In(zone).Add(999)
		return true, nil
	})
	must(t, err)
	want.ExpiresAt, want.Version = at(77), 2
	same(t, "changed", got, want)
	isKey(t, s, want)
}

func keyConflict(t *testing.T, s *store.Store) {
	first := newKey("E1")
	first.RotatedFrom = "E0"
	first = addKey(t, s, first)
	second := newKey("E1")
	second.Client = "other"
	successor := newKey("E2")
	successor.RotatedFrom = "E0"
	for name, r := range map[string]keys.Record{"the id": second, "the predecessor": successor} {
		got, err := s.CreateKey(t.Context(), r, newEvent(keys.ActionCreate, r.ID))
		isFault(t, name, err, fault.Conflict)
		same(t, name, got, keys.Record{})
	}
	isKey(t, s, first)
	isVersion(t, s, 1)
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, "E1"))
	// Keys without a predecessor are no rivals, and an id is compared byte by byte.
	addKey(t, s, newKey("E2"))
	addKey(t, s, newKey("e1"))
}

func keyRace(t *testing.T, s *store.Store) {
	const racers = 20
	made, errs := make([]keys.Record, racers), make([]error, racers)
	together(racers, func(i int) {
		r := newKey("E1")
		r.Burst = i
		made[i], errs[i] = s.CreateKey(t.Context(), r, newEvent(keys.ActionCreate, fmt.Sprint(i)))
	})
	isKey(t, s, made[winner(t, errs)])
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, fmt.Sprint(winner(t, errs))))
	isVersion(t, s, 1)
}

func keyUnknown(t *testing.T, s *store.Store) {
	addKey(t, s, newKey("E1"))
	for _, id := range []string{"", "e1", "E", "E1 ", "%", "' OR 1=1 --", "E1\x00", "\xff"} {
		got, err := s.Key(t.Context(), id)
		isFault(t, fmt.Sprintf("id %q", id), err, fault.NotFound)
		same(t, "the key of an error", got, keys.Record{})
		_, err = s.ChangeKey(t.Context(), id, newEvent(keys.ActionRevoke, "E1"), func(*keys.Record) (bool, error) {
			t.Errorf("id %q: asked what to change", id)
			return true, nil
		})
		isFault(t, fmt.Sprintf("change %q", id), err, fault.NotFound)
		_, _, err = s.RotateKey(t.Context(), id, newEvent(keys.ActionRotate, "E1"), func(*keys.Record) (keys.Record, error) {
			t.Errorf("id %q: asked for a successor", id)
			return newKey("E2"), nil
		})
		isFault(t, fmt.Sprintf("rotate %q", id), err, fault.NotFound)
	}
	isVersion(t, s, 1)
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, "E1"))
}

func keysByID(t *testing.T, s *store.Store) {
	made := map[string]keys.Record{}
	for i := range 20 {
		r := addKey(t, s, newKey(fmt.Sprint("E", i)))
		made[r.ID] = r
	}
	unknown := []string{"", "e1", "E", "E1 ", "%", `"`, `\`, "' OR 1=1 --", "E1\x00", "\xff"}
	for i := range 1000 {
		unknown = append(unknown, fmt.Sprint("nobody", i))
	}
	for name, ids := range map[string][]string{
		"none": nil, "one": {"E1"}, "one twice": {"E1", "E1"}, "unknown ones": unknown,
		"all among unknown ones": append(slices.Collect(maps.Keys(made)), unknown...),
	} {
		want, found := map[string]keys.Record{}, map[string]keys.Record{}
		for _, id := range ids {
			if r, ok := made[id]; ok {
				want[id] = r
			}
		}
		got, err := s.KeysByID(t.Context(), ids)
		must(t, err)
		for _, r := range got {
			found[r.ID] = r
		}
		if same(t, name, found, want); len(got) != len(want) {
			t.Errorf("%s: %d rows for %d keys", name, len(got), len(want))
		}
	}
}

func unstorableKeys(t *testing.T, s *store.Store) {
	kept := addKey(t, s, newKey("E0"))
	refused := func(r keys.Record) {
		t.Helper()
		_, err := s.CreateKey(t.Context(), r, newEvent(keys.ActionCreate, "E1"))
		isFault(t, fmt.Sprintf("create %#v", r), err, fault.Invalid)
	}
	oddKind, oddEnvironment := newKey("E1"), newKey("E1")
	oddKind.Kind, oddEnvironment.Environment = "\xff", "\x00"
	refused(oddKind)
	refused(oddEnvironment)
	for _, text := range []string{"\x00", "a\x00b", "\xff", "cut \xe2\x82"} {
		spoiled := make([]keys.Record, 6)
		for i := range spoiled {
			spoiled[i] = newKey("E1")
		}
		spoiled[0].ID, spoiled[1].Client, spoiled[2].Hint = text, text, text
		spoiled[3].RotatedTo, spoiled[4].RotatedFrom, spoiled[5].State = text, text, keys.State(text)
		for _, r := range spoiled {
			refused(r)
		}
		events := make([]keys.Event, 5)
		events[0].Actor.Key, events[1].Actor.RequestID, events[2].Actor.Address = text, text, text
		events[3].Action, events[4].Target = text, text
		for _, e := range events {
			_, err := s.CreateKey(t.Context(), newKey("E1"), e)
			isFault(t, fmt.Sprintf("event %#v", e), err, fault.Invalid)
			isFault(t, fmt.Sprintf("event %#v", e), s.AppendEvents(t.Context(), []keys.Event{{}, e}), fault.Invalid)
		}
		_, err := s.ChangeKey(t.Context(), "E0", newEvent(keys.ActionRotate, "E0"), func(r *keys.Record) (bool, error) {
			r.RotatedTo = text
			return true, nil
		})
		isFault(t, "a successor", err, fault.Invalid)
		_, err = s.Heartbeat(t.Context(), text, 1, anyAge)
		isFault(t, "an instance", err, fault.Invalid)
		must(t, s.Leave(t.Context(), text))
		must(t, s.TouchKeys(t.Context(), map[string]time.Time{text: at(0)}))
	}
	isKey(t, s, kept)
	isVersion(t, s, 1)
	isAudit(t, s, store.AuditFilter{}, newEvent(keys.ActionCreate, "E0"))
}

func keysUsable(t *testing.T, s *store.Store) {
	has := func(want bool) {
		t.Helper()
		if got, err := s.HasKeys(t.Context()); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	add := func(id string, state keys.State, expires time.Time) {
		r := newKey(id)
		r.State, r.ExpiresAt = state, expires
		addKey(t, s, r)
	}
	has(false)
	add("E1", keys.Disabled, time.Time{})
	add("E2", keys.Revoked, time.Time{})
	add("E3", keys.Enabled, time.Now().Add(-time.Minute))
	add("E4", keys.Disabled, time.Now().Add(time.Hour))
	has(false)
	add("E5", keys.Enabled, time.Now().Add(time.Hour))
	has(true)
	setState(t, s, "E5", keys.Revoked)
	has(false)
	add("E6", keys.Enabled, time.Time{})
	has(true)
}

func keysSealed(t *testing.T, s *store.Store) {
	if ids, err := s.SealedKeys(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("got %v, %v of an empty store", ids, err)
	}
	var want []string
	for i := range 6 {
		r := newKey(fmt.Sprint("key", 9-i))
		if i%2 == 1 {
			r.Kind = "hs256"
			want = append(want, r.ID)
		}
		addKey(t, s, r)
	}
	setState(t, s, want[1], keys.Revoked)
	if got, err := s.SealedKeys(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	setState(t, s, want[0], keys.Disabled)
	for most, inUse := range [][]string{{}, {want[2]}, {want[2], want[0]}, {want[2], want[0]}} {
		got, err := s.SealedInUse(t.Context(), most)
		ids := []string{}
		for _, r := range got {
			isKey(t, s, r)
			ids = append(ids, r.ID)
		}
		if err != nil || !slices.Equal(ids, inUse) {
			t.Errorf("at most %d in use: got %v, %v, want %v", most, ids, err, inUse)
		}
	}
}

func setState(t *testing.T, s *store.Store, id string, state keys.State) keys.Record {
	t.Helper()
	r, err := s.ChangeKey(t.Context(), id, newEvent(string(state), id), func(r *keys.Record) (bool, error) {
		r.State = state
		return true, nil
	})
	must(t, err)
	return r
}

// together runs n goroutines at the same time, and waits for them.
func together(n int, run func(i int)) {
	start := make(chan struct{})
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			<-start
			run(i)
		})
	}
	close(start)
	wait.Wait()
}

// winner checks that exactly one error is nil and all others are conflicts.
func winner(t *testing.T, errs []error) int {
	t.Helper()
	first := slices.Index(errs, nil)
	for i, err := range errs {
		if i != first {
			isFault(t, fmt.Sprintf("racer %d", i), err, fault.Conflict)
		}
	}
	if first < 0 {
		t.Fatalf("nobody won: %v", errors.Join(errs...))
	}
	return first
}

// isKey checks that the store has exactly this key.
func isKey(t *testing.T, s *store.Store, want keys.Record) {
	t.Helper()
	got, err := s.Key(t.Context(), want.ID)
	must(t, err)
	same(t, "the store", got, want)
}

// isVersion checks the store's version of keys.
func isVersion(t *testing.T, s *store.Store, want int64) {
	t.Helper()
	got, err := s.KeyChanges(t.Context(), math.MaxInt64, 1000)
	if err != nil || got.Version != want || len(got.Keys) != 0 {
		t.Errorf("the version is %d (%v, and %d changes after the last of all), want %d", got.Version, err, len(got.Keys), want)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got\n%+v, want\n%+v", what, got, want)
	}
}
