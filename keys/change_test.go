package keys_test

import (
	"slices"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func TestRevokeIsFinal(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	record, _ := create(t, ring)
	revoked, err := ring.SetState(t.Context(), cli(), record.ID, keys.Revoked)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ring.SetState(t.Context(), cli(), record.ID, keys.Revoked)
	if err != nil || again.Version != revoked.Version {
		t.Errorf("revoked twice: %v", err)
	}
	for _, state := range []keys.State{keys.Enabled, keys.Disabled} {
		if _, err := ring.SetState(t.Context(), cli(), record.ID, state); fault.CodeOf(err) != fault.Conflict || err == nil {
			t.Errorf("%s a revoked key: %v", state, err)
		}
	}
	for _, unknown := range []string{"E0123456789a", "", "\x00", "E0123456789\x00"} {
		if _, err := ring.SetState(t.Context(), cli(), unknown, keys.Revoked); fault.CodeOf(err) != fault.NotFound || err == nil {
			t.Errorf("an unknown key: %v", err)
		}
	}
	events, _, err := s.Audit(t.Context(), store.AuditFilter{Key: record.ID}, store.Page{Size: 10})
	var actions []string
	for _, event := range events {
		actions = append(actions, event.Actor.Key+" "+event.Action)
	}
	if want := []string{"cli create", "cli revoke"}; err != nil || !slices.Equal(actions, want) {
		t.Errorf("the audit has %v, want %v: %v", actions, want, err)
	}
}
