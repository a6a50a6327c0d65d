package keys_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

func TestSealer(t *testing.T) {
	key := bytes.Repeat([]byte("m"), 32)
	sealer, err := keys.NewSealer(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealer.Seal("H0123456789a", keystring.HS256, []byte("the key string"))
	if err != nil || bytes.Contains(sealed, []byte("key")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	if again, _ := sealer.Seal("H0123456789a", keystring.HS256, []byte("the key string")); bytes.Equal(sealed, again) {
		t.Error("sealing twice gives the same bytes: a nonce was used again")
	}
	if text, err := sealer.Open("H0123456789a", keystring.HS256, sealed); err != nil || string(text) != "the key string" {
		t.Errorf("%q, %v", text, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"in the row of another key": func() ([]byte, error) { return sealer.Open("H0123456789b", keystring.HS256, sealed) },
		"as another kind":           func() ([]byte, error) { return sealer.Open("H0123456789a", keystring.Ed25519, sealed) },
		"a byte changed": func() ([]byte, error) {
			return sealer.Open("H0123456789a", keystring.HS256, append([]byte{sealed[0] ^ 1}, sealed[1:]...))
		},
		"cut off":                     func() ([]byte, error) { return sealer.Open("H0123456789a", keystring.HS256, sealed[:10]) },
		"nothing":                     func() ([]byte, error) { return sealer.Open("H0123456789a", keystring.HS256, nil) },
		"without a master key at all": func() ([]byte, error) { return (*keys.Sealer)(nil).Open("H0123456789a", keystring.HS256, sealed) },
	} {
		if text, err := open(); err == nil {
			t.Errorf("%s: opened %q", name, text)
		}
	}
	for _, wrong := range [][]byte{[]byte("short"), bytes.Repeat([]byte("m"), 33)} {
		if _, err := keys.NewSealer(wrong, nil); err == nil {
			t.Errorf("a master key of %d bytes", len(wrong))
		}
		if _, err := keys.NewSealer(key, wrong); err == nil {
			t.Errorf("a previous master key of %d bytes", len(wrong))
		}
	}
}

func TestSealHS256KeysNeedMasterKey(t *testing.T) {
	s := openStore(t)
	record, text := create(t, newRing(t, s), hs256)
	if strings.Contains(string(record.Material), text.Reveal()[21:]) {
		t.Error("the key is kept in clear")
	}
	const old, next = "m", "n"
	ed25519, _ := create(t, newRing(t, s))
	for name, o := range map[string]func(*keys.Options){"none": sealedWith(t, "", ""), "another": sealedWith(t, next, "")} {
		ring := newRing(t, s, o)
		wantCall(t, ring, record.ID, fault.Unavailable)
		if err := call(ring, ed25519.ID); err != nil {
			t.Errorf("master key %s: an ed25519 key: %v", name, err)
		}
	}

	changing := newRing(t, s, sealedWith(t, next, old))
	if err := call(changing, record.ID); err != nil {
		t.Errorf("sealed under the previous master key: %v", err)
	}
	if n, err := changing.Rewrap(t.Context(), cli()); n != 1 || err != nil {
		t.Fatalf("rewrap: %d, %v", n, err)
	}
	after := newRing(t, s, sealedWith(t, next, ""))
	key, err := after.Find(record.ID)
	if err != nil {
		t.Fatalf("after rewrap the previous master key is still needed: %v", err)
	}
	if secret, ok := key.VerificationKeys()[0].([]byte); !ok || string(secret) != text.Reveal() {
		t.Error("it verifies with something else than the key string")
	}
	wantCall(t, newRing(t, s, sealedWith(t, old, "")), record.ID, fault.Unavailable)
}

// sealedWith are options with master keys of 32 times one letter each, or none for "".
func sealedWith(t *testing.T, current, previous string) func(*keys.Options) {
	t.Helper()
	sealer, err := keys.NewSealer([]byte(strings.Repeat(current, 32)), []byte(strings.Repeat(previous, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *keys.Options) { o.Sealer = sealer }
}

func hs256(in *keys.Request) { in.Kind = "hs256" }

// damage changes a byte of the ciphertext of a key, and returns the key.
func damage(t *testing.T, s keys.Store, id string) keys.Record {
	t.Helper()
	event := keys.Event{At: time.Now(), Actor: cli(), Action: keys.ActionRewrap, Target: id, Count: 1}
	record, err := s.ChangeKey(t.Context(), id, event, func(r *keys.Record) (bool, error) {
		r.Material = slices.Clone(r.Material)
		r.Material[len(r.Material)-1] ^= 1
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// A key that is encrypted under another master key could not be decrypted by the other instances.
func TestSealUnderOneMasterKey(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s, sealedWith(t, "m", ""))
	sealed, _ := create(t, ring, hs256)
	plain, _ := create(t, ring)
	for sentence, other := range map[string]*keys.Keyring{
		"MASTER_KEY is not the one that the other hs256 keys are sealed under": newRing(t, s, sealedWith(t, "n", "")),
		"hs256 keys need MASTER_KEY, which is not set":                         newRing(t, s, sealedWith(t, "", "")),
	} {
		_, _, createErr := other.Create(t.Context(), cli(), keys.Request{Client: "c", Scopes: []string{"accounts:read"}, Kind: "hs256"})
		_, _, _, rotateErr := other.Rotate(t.Context(), cli(), sealed.ID, time.Hour)
		for verb, err := range map[string]error{"create": createErr, "rotate": rotateErr} {
			invalid, ok := errors.AsType[*keys.InvalidError](err)
			if !ok || len(invalid.Problems) != 1 || invalid.Problems[0] != (keys.Problem{Field: "kind", Message: sentence, Type: "value_error"}) {
				t.Errorf("%s, where %s: %v", verb, sentence, err)
			}
		}
		create(t, other)
		if _, _, _, err := other.Rotate(t.Context(), cli(), plain.ID, time.Hour); err != nil {
			t.Errorf("an ed25519 key, where %s: %v", sentence, err)
		}
		plain, _ = create(t, ring)
	}
	if read, err := s.Store.Key(t.Context(), sealed.ID); err != nil || read.RotatedTo != "" || read.Version != sealed.Version {
		t.Errorf("a refused rotation has changed the key: %q %v", read.RotatedTo, err)
	}
	// During a change of the master key, the previous one fits, too.
	create(t, newRing(t, s, sealedWith(t, "n", "m")), hs256)
}

func TestSealAfterLostMasterKey(t *testing.T) {
	s := openStore(t)
	lost, _ := create(t, newRing(t, s, sealedWith(t, "m", "")), hs256)
	ring := newRing(t, s, sealedWith(t, "n", ""))
	revoke(t, ring, lost.ID)
	made, _ := create(t, ring, hs256)
	if err := call(ring, made.ID); err != nil {
		t.Errorf("a key that was made after every old one was revoked: %v", err)
	}
}

func TestSealBesideDamagedKey(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s)
	first, _ := create(t, ring, hs256)
	good, _ := create(t, ring, hs256)
	last, _ := create(t, ring, hs256)
	damage(t, s, first.ID)
	damage(t, s, last.ID)
	if made, _ := create(t, ring, hs256); made.Kind != keystring.HS256 {
		t.Errorf("made %+v", made)
	}
	if _, _, _, err := ring.Rotate(t.Context(), cli(), good.ID, time.Hour); err != nil {
		t.Errorf("rotating the good one: %v", err)
	}
	if _, _, _, err := ring.Rotate(t.Context(), cli(), last.ID, time.Hour); err == nil || fault.CodeOf(err) != fault.Invalid {
		t.Errorf("rotating a damaged one: %v", err)
	}
}

func TestRewrapSkipsDamagedKey(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s, sealedWith(t, "m", ""))
	before, _ := create(t, ring, hs256)
	bad, _ := create(t, ring, hs256)
	after, _ := create(t, ring, hs256)
	bad = damage(t, s, bad.ID)
	sealed, err := newRing(t, s, sealedWith(t, "n", "m")).Rewrap(t.Context(), cli())
	if sealed != 2 || err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), bad.ID) {
		t.Errorf("%d rewrapped, and %v", sealed, err)
	}
	changed := newRing(t, s, sealedWith(t, "n", ""))
	for _, record := range []keys.Record{before, after} {
		if err := call(changed, record.ID); err != nil {
			t.Errorf("a rewrapped key: %v", err)
		}
	}
	wantCall(t, changed, bad.ID, fault.Unavailable)
	if read, err := s.Store.Key(t.Context(), bad.ID); err != nil || !slices.Equal(read.Material, bad.Material) || read.Version != bad.Version {
		t.Errorf("the key that cannot be opened was changed: %v", err)
	}
}

// sealedKeys is the real store. Its list of hs256 keys can fail, and records its size.
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

func TestSealReportsFailureOfStore(t *testing.T) {
	s := &sealedKeys{watched: openStore(t)}
	ring := newRing(t, s)
	for _, code := range []fault.Code{fault.Internal, fault.Unavailable} {
		s.failure = fault.Wrap(code, errors.New("spoilt"))
		if err := createSealed(t, ring); !errors.Is(err, s.failure) {
			t.Errorf("%v: got %v", code, err)
		}
	}
}

func TestSealTriesWrongMasterKeyOnFewKeys(t *testing.T) {
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

func TestUnusableKeysAreCounted(t *testing.T) {
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
			t.Errorf("%d unusable keys, want %d, and the log says\n%s", other.Unusable(), unusable, &log)
		}
	}
	start(0, "")
	if log.Len() != 0 {
		t.Errorf("an empty store logs %s", &log)
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
		t.Errorf("it logs again: %s", &log)
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

// The time of a start must not grow with the store.
func TestUnusableCountIsBounded(t *testing.T) {
	s := &sealedKeys{watched: openStore(t)}
	create(t, newRing(t, s))
	if err := newRing(t, s).Start(t.Context()); err != nil || s.most != 10_000 {
		t.Errorf("at most %d are opened, %v", s.most, err)
	}
}
