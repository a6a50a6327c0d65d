package keys_test

import (
	"slices"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

func shared() keys.SharedKey {
	return keys.SharedKey{Algorithm: "HS256", APIKey: "the key", Secret: []byte("new"), PreviousSecret: []byte("old")}
}

func TestSharedKey(t *testing.T) {
	ring := keys.NewKeyring(keys.Options{Shared: shared()})
	key, err := ring.Shared()
	if err != nil {
		t.Fatal(err)
	}
	principal, err := ring.Admit(key)
	if err != nil {
		t.Fatal(err)
	}
	if principal.KeyID != "shared" || principal.Client != "shared" {
		t.Errorf("the shared key is called %q of %q", principal.KeyID, principal.Client)
	}
	want := keys.EveryScope().Without(keys.KeysAdmin).Names()
	if got := principal.Scopes.Names(); !slices.Equal(got, want) {
		t.Errorf("the shared key may %v, want %v", got, want)
	}
	if q := principal.Take(); q.Limited {
		t.Errorf("the shared key has a limit: %+v", q)
	}
	for i, want := range []string{"new", "old"} {
		if got, ok := key.VerificationKeys()[i].([]byte); !ok || string(got) != want {
			t.Errorf("verified with %q, want %q", got, want)
		}
	}
	for claimed, right := range map[string]bool{"the key": true, "": false, "the": false, "the key ": false, "THE KEY": false, "another": false} {
		if got := key.Claims(claimed); got != right {
			t.Errorf("claiming %q is right: %v", claimed, got)
		}
	}
}

func TestSharedKeyHalfConfigured(t *testing.T) {
	noKey, noSecret, none := shared(), shared(), keys.SharedKey{}
	noKey.APIKey, noSecret.Secret = "", nil
	for _, s := range []keys.SharedKey{noKey, noSecret, none} {
		if _, err := keys.NewKeyring(keys.Options{Shared: s}).Shared(); fault.CodeOf(err) != fault.KeyNotAcceptable {
			t.Errorf("%+v: %v", s, err)
		}
	}
	alone := shared()
	alone.PreviousSecret = nil
	key, err := keys.NewKeyring(keys.Options{Shared: alone}).Shared()
	if err != nil || len(key.VerificationKeys()) != 1 {
		t.Errorf("without a previous secret: %v", err)
	}
}
