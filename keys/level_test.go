package keys_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/store"
)

// newer writes a copy of a key as a newer version of the program would, with a level that is not supported here. letter is the
// first letter of its id.
func newer(t *testing.T, s keys.Store, of keys.Record, letter string, kind keystring.Kind) keys.Record {
	t.Helper()
	last := "z"
	if strings.HasSuffix(of.ID, last) {
		last = "y"
	}
	of.ID, of.Kind, of.Level = letter+of.ID[1:11]+last, kind, keys.Level+1
	made, err := s.CreateKey(t.Context(), of, keys.Event{At: time.Now(), Actor: cli(), Action: keys.ActionCreate, Target: of.ID, Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// isNewer checks that the error is a NewerError of the key.
func isNewer(t *testing.T, what string, err error, id string) {
	t.Helper()
	if cause, ok := errors.AsType[*keys.NewerError](err); !ok || cause.ID != id || !strings.Contains(err.Error(), id) {
		t.Errorf("%s: got %v", what, err)
	}
}

func TestLevelOfNewerKeyAllowsOnlyRevoke(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	poll(t, ring)
	old, _ := create(t, ring)
	for letter, kind := range map[string]keystring.Kind{"E": keystring.Ed25519, "H": keystring.HS256, "P": "es256"} {
		key := newer(t, s, old, letter, kind)
		for range 2 { // read, and then held
			err := call(ring, key.ID)
			wantCall(t, ring, key.ID, fault.Unavailable)
			isNewer(t, "a call", err, key.ID)
		}
		_, _, _, err := ring.Rotate(t.Context(), cli(), key.ID, time.Hour)
		isNewer(t, "rotate", err, key.ID)
		for _, state := range []keys.State{keys.Disabled, keys.Enabled} {
			if state == key.State {
				continue
			}
			_, err := ring.SetState(t.Context(), cli(), key.ID, state)
			isNewer(t, string(state), err, key.ID)
			if fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("%s: got %v, want Unavailable", state, err)
			}
		}
		if got, err := s.Key(t.Context(), key.ID); err != nil || !reflect.DeepEqual(got, key) {
			t.Errorf("the key was changed: %+v, %v, it was %+v", got, err, key)
		}

		revoked, err := ring.SetState(t.Context(), cli(), key.ID, keys.Revoked)
		if err != nil || revoked.State != keys.Revoked || revoked.Level != key.Level {
			t.Errorf("revoke: %+v, %v", revoked, err)
		}
		if err := call(ring, key.ID); err == nil || kind == keystring.Ed25519 && fault.CodeOf(err) != fault.APITokenIncorrect {
			t.Errorf("revoked: %v", err)
		}
		events, _, err := s.Audit(t.Context(), store.AuditFilter{Key: key.ID}, store.Page{Size: 9})
		if err != nil || len(events) != 2 || events[1].Action != keys.ActionRevoke {
			t.Errorf("the audit has %+v, %v", events, err)
		}
	}
	if err := call(ring, old.ID); err != nil {
		t.Errorf("a key of a supported level: %v", err)
	}
}

// How a newer version encrypts is not known here.
func TestRewrapSkipsNewerKey(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	old, _ := create(t, ring, hs256)
	key := newer(t, s, old, "H", keystring.HS256) // its id is not the one that it was sealed for, so it opens nowhere
	if err := createSealed(t, ring); err != nil {
		t.Errorf("a newer key says nothing about the master key: %v", err)
	}
	n, err := ring.Rewrap(t.Context(), cli())
	if n != 2 {
		t.Errorf("rewrapped: %d, %v", n, err)
	}
	isNewer(t, "rewrap", err, key.ID)
	if got, err := s.Key(t.Context(), key.ID); err != nil || !reflect.DeepEqual(got, key) {
		t.Errorf("the key was changed: %+v, %v, it was %+v", got, err, key)
	}
}

// With a higher level than needed, older instances would refuse the key without a reason.
func TestLevelOfNewKey(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	made, _ := create(t, ring)
	old, successor, _, err := ring.Rotate(t.Context(), cli(), made.ID, time.Hour)
	if err != nil || made.Level != 1 || old.Level != 1 || successor.Level != 1 {
		t.Errorf("levels %d, rotated %d, its successor %d, %v", made.Level, old.Level, successor.Level, err)
	}
}

// A newer version of the program may know the scope.
func TestScopeUnknownIsKept(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	poll(t, ring)
	key, _ := create(t, ring)
	key.ID, key.Scopes = "E000000newer", []keys.Scope{keys.AccountsRead, "accounts:ruin", keys.KeysAdmin}
	key, err := s.CreateKey(t.Context(), key, keys.Event{At: time.Now(), Actor: cli(), Action: keys.ActionCreate, Target: key.ID, Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := key.Scopes
	for _, state := range []keys.State{keys.Disabled, keys.Enabled} {
		if changed, err := ring.SetState(t.Context(), cli(), key.ID, state); err != nil || !slices.Equal(changed.Scopes, want) {
			t.Errorf("%s: %v, %v", state, changed.Scopes, err)
		}
	}
	old, successor, _, err := ring.Rotate(t.Context(), cli(), key.ID, time.Hour)
	if err != nil || !slices.Equal(old.Scopes, want) || !slices.Equal(successor.Scopes, want) {
		t.Errorf("rotated: %v and its successor %v, %v", old.Scopes, successor.Scopes, err)
	}
	for _, id := range []string{key.ID, successor.ID} {
		found, err := ring.Find(id)
		if err != nil {
			t.Fatal(err)
		}
		principal, err := ring.Admit(found)
		if err != nil || principal.Scopes != keys.ScopesOf(keys.AccountsRead, keys.KeysAdmin) {
			t.Errorf("%s may %v, %v", id, principal.Scopes.Names(), err)
		}
	}
	if _, _, err := ring.Create(t.Context(), cli(), keys.Request{Client: "acme", Scopes: []string{"accounts:ruin"}}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a new key with a scope that is not known: %v", err)
	}
}
