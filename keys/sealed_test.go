package keys_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// sealedKeys is the real store, of which the list of sealed keys can fail, and says how much was asked for.
type sealedKeys struct {
	*watched

	failure     error
	most, found int
}

func (s *sealedKeys) SealedInUse(ctx context.Context, most int) ([]keys.Record, error) {
	if s.failure != nil {
		return nil, s.failure
	}
	found, err := s.watched.SealedInUse(ctx, most)
	s.most, s.found = most, len(found)
	return found, err
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
	s := &sealedKeys{watched: openStore(t)}
	ring, other := newRing(t, s), newRing(t, s, sealedWith(t, "w", ""))
	wrong := func(want int) {
		t.Helper()
		if err := createSealed(t, other); fault.CodeOf(err) != fault.Invalid || err == nil {
			t.Errorf("got %v", err)
		}
		if s.most != 5 || s.found != want {
			t.Errorf("at most %d keys were read, and %d were, want %d", s.most, s.found, want)
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
	wrong(1)
}

func TestHS256KeysThatTheMasterKeyDoesNotOpenAreCounted(t *testing.T) {
	s, now := openStore(t), newClock()
	var log bytes.Buffer
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	other := newRing(t, s, sealedWith(t, "w", ""), func(o *keys.Options) {
		o.Now, o.Logger = now.now, slog.New(slog.NewTextHandler(&log, nil))
	})
	start := func(unusable int, line string) {
		t.Helper()
		log.Reset()
		if err := other.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if other.Unusable() != unusable || strings.Count(log.String(), "level=") > 1 || !strings.Contains(log.String(), line) {
			t.Errorf("%d cannot be used, want %d, and the log says\n%s", other.Unusable(), unusable, &log)
		}
	}
	start(0, "")
	if log.Len() != 0 {
		t.Errorf("an empty store is worth %s", &log)
	}
	create(t, ring)
	sealed, _ := create(t, ring, hs256)
	disabled, _ := create(t, ring, hs256)
	if _, err := ring.SetState(t.Context(), cli(), disabled.ID, keys.Disabled); err != nil {
		t.Fatal(err)
	}
	create(t, ring, hs256, func(in *keys.Request) { in.ExpiresAt = new(now.now().Add(time.Minute)) })
	newer(t, s, sealed, "H", keystring.HS256)
	start(3, `level=WARN msg="MASTER_KEY does not open`)
	if !strings.Contains(log.String(), "keys=3 of=3") || !strings.Contains(log.String(), "MASTER_KEY_PREVIOUS") {
		t.Errorf("the log says %s", &log)
	}
	start(3, "")
	if log.Len() != 0 {
		t.Errorf("what was said is said again: %s", &log)
	}
	now.forward(time.Minute) // one expires
	start(2, "keys=2 of=2")
	revoke(t, ring, sealed.ID)
	revoke(t, ring, disabled.ID)
	start(0, "level=INFO")

	create(t, ring, hs256)
	log.Reset()
	other = newRing(t, s, sealedWith(t, "", ""), func(o *keys.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	start(1, `msg="MASTER_KEY is not set`)
	other = newRing(t, s, sealedWith(t, "w", "m"), func(o *keys.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	start(0, "")
	if log.Len() != 0 {
		t.Errorf("with the previous master key the log says %s", &log)
	}
}

// TestCountingDoesNotGrowWithTheStore: a start opens some of the keys, however many there are.
func TestCountingDoesNotGrowWithTheStore(t *testing.T) {
	s := &sealedKeys{watched: openStore(t)}
	create(t, newRing(t, s))
	if err := newRing(t, s).Start(t.Context()); err != nil || s.most != 10_000 {
		t.Errorf("at most %d are opened, %v", s.most, err)
	}
}
