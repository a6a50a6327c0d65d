package keys_test

import (
	"bytes"
	"errors"
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

func TestHS256KeysNeedTheirMasterKey(t *testing.T) {
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

// damage changes a byte of what a key is sealed in, and returns the key as it is then.
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

// TestHS256KeysAreMadeUnderOneMasterKey: what is sealed under another one, no other process could open.
func TestHS256KeysAreMadeUnderOneMasterKey(t *testing.T) {
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
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Code != fault.Invalid || len(f.Fields) != 1 || !slices.Equal(f.Fields[0].Loc, []string{"body", "kind"}) || f.Fields[0].Msg != sentence {
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
		t.Errorf("a rotation that was refused left its trace: %q %v", read.RotatedTo, err)
	}
	// While the master key is being changed, the previous one is a right one, too.
	create(t, newRing(t, s, sealedWith(t, "n", "m")), hs256)
}

func TestALostMasterKeyIsNotTheEnd(t *testing.T) {
	s := openStore(t)
	lost, _ := create(t, newRing(t, s, sealedWith(t, "m", "")), hs256)
	ring := newRing(t, s, sealedWith(t, "n", ""))
	revoke(t, ring, lost.ID)
	made, _ := create(t, ring, hs256)
	if err := call(ring, made.ID); err != nil {
		t.Errorf("a key that was made after every old one was revoked: %v", err)
	}
}

func TestADamagedKeyDoesNotKeepOthersFromBeingMade(t *testing.T) {
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

func TestRewrapGoesOnPastAKeyThatDoesNotOpen(t *testing.T) {
	s := openStore(t)
	ring := newRing(t, s, sealedWith(t, "m", ""))
	before, _ := create(t, ring, hs256)
	bad, _ := create(t, ring, hs256)
	after, _ := create(t, ring, hs256)
	bad = damage(t, s, bad.ID)
	sealed, err := newRing(t, s, sealedWith(t, "n", "m")).Rewrap(t.Context(), cli())
	if sealed != 2 || err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), bad.ID) {
		t.Errorf("%d sealed anew, and %v", sealed, err)
	}
	changed := newRing(t, s, sealedWith(t, "n", ""))
	for _, record := range []keys.Record{before, after} {
		if err := call(changed, record.ID); err != nil {
			t.Errorf("a key that was sealed anew: %v", err)
		}
	}
	wantCall(t, changed, bad.ID, fault.Unavailable)
	if read, err := s.Store.Key(t.Context(), bad.ID); err != nil || !slices.Equal(read.Material, bad.Material) || read.Version != bad.Version {
		t.Errorf("the key that cannot be opened was changed: %v", err)
	}
}
