package keys_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

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
	hs256 := func(in *keys.Request) { in.Kind = "hs256" }
	record, text := create(t, newRing(t, s), hs256)
	if strings.Contains(string(record.Material), text.Reveal()[21:]) {
		t.Error("the key is kept in clear")
	}
	sealed := func(current, previous string) func(*keys.Options) {
		return func(o *keys.Options) {
			var err error
			if o.Sealer, err = keys.NewSealer([]byte(current), []byte(previous)); err != nil {
				t.Fatal(err)
			}
		}
	}
	old, next := strings.Repeat("m", 32), strings.Repeat("n", 32)
	ed25519, _ := create(t, newRing(t, s))
	for name, o := range map[string]func(*keys.Options){"none": sealed("", ""), "another": sealed(next, "")} {
		ring := newRing(t, s, o)
		wantCall(t, ring, record.ID, fault.Unavailable)
		if err := call(ring, ed25519.ID); err != nil {
			t.Errorf("master key %s: an ed25519 key: %v", name, err)
		}
	}
	_, _, err := newRing(t, s, sealed("", "")).Create(t.Context(), cli(), keys.Request{Client: "c", Scopes: []string{"accounts:read"}, Kind: "hs256"})
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != fault.Invalid || f.Fields[0].Loc[1] != "kind" {
		t.Errorf("made without a master key: %v", err)
	}

	changing := newRing(t, s, sealed(next, old))
	if err := call(changing, record.ID); err != nil {
		t.Errorf("sealed under the previous master key: %v", err)
	}
	if n, err := changing.Rewrap(t.Context(), cli()); n != 1 || err != nil {
		t.Fatalf("rewrap: %d, %v", n, err)
	}
	after := newRing(t, s, sealed(next, ""))
	key, err := after.Find(record.ID)
	if err != nil {
		t.Fatalf("after rewrap the previous master key is still needed: %v", err)
	}
	if secret, ok := key.VerificationKeys()[0].([]byte); !ok || string(secret) != text.Reveal() {
		t.Error("it verifies with something else than the key string")
	}
	wantCall(t, newRing(t, s, sealed(old, "")), record.ID, fault.Unavailable)
}
