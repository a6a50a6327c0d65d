package keys_test

import (
	"context"
	"errors"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// sealedKeys is the real store, of which the list of sealed keys can fail.
type sealedKeys struct {
	*watched

	failure error
}

func (s *sealedKeys) SealedKeys(ctx context.Context) ([]string, error) {
	if s.failure != nil {
		return nil, s.failure
	}
	return s.watched.SealedKeys(ctx)
}

func createSealed(t *testing.T, ring *keys.Keyring) error {
	t.Helper()
	_, _, err := ring.Create(t.Context(), cli(), keys.Request{Client: "acme", Scopes: []string{"accounts:read"}, Kind: "hs256"})
	return err
}

func TestAFaultOfTheStoreIsNotBlamedOnTheMasterKey(t *testing.T) {
	s := &sealedKeys{watched: openStore(t)}
	ring := newRing(t, s)
	for _, code := range []fault.Code{fault.Internal, fault.Unavailable} {
		s.failure = fault.Wrap(code, errors.New("spoilt"))
		if err := createSealed(t, ring); !errors.Is(err, s.failure) {
			t.Errorf("%v: got %v", code, err)
		}
	}
}

func TestAWrongMasterKeyIsTriedOnFewKeys(t *testing.T) {
	s := openStore(t)
	ring, other := newRing(t, s), newRing(t, s, sealedWith(t, "w", ""))
	wrong := func(reads int64) {
		t.Helper()
		s.reads.Store(0)
		if err := createSealed(t, other); fault.CodeOf(err) != fault.Invalid || err == nil {
			t.Errorf("got %v", err)
		}
		if got := s.reads.Load(); got != reads {
			t.Errorf("%d keys were read, want %d", got, reads)
		}
	}
	var made []keys.Record
	for range 8 {
		record, _ := create(t, ring, hs256)
		made = append(made, record)
	}
	wrong(5)
	for _, record := range made[1:] { // however many are revoked, the one that is not counts
		revoke(t, ring, record.ID)
	}
	wrong(5)
}
