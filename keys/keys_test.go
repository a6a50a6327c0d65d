package keys_test

import (
	"slices"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

func all() keys.Scopes {
	return keys.ScopesOf(keys.AccountsRead, keys.AccountsWrite, keys.KeysAdmin, keys.StoryspacesRead, keys.StoryspacesWrite)
}

func TestScopesNarrowAndNeverWiden(t *testing.T) {
	read := keys.ScopesOf(keys.AccountsRead, keys.StoryspacesRead)
	tests := []struct {
		name, claim string
		has         keys.Scopes
		want        []string
	}{
		{"one of them", "accounts:read", read, []string{"accounts:read"}},
		{"one it does not have", "accounts:write", read, []string{}},
		{"both kinds, sorted", "storyspaces:read keys:admin accounts:read", read, []string{"accounts:read", "storyspaces:read"}},
		{"empty grants nothing", "", read, []string{}},
		{"spaces grant nothing", "   ", read, []string{}},
		{"unknown names add nothing", "accounts:* * ACCOUNTS:READ accounts:read,storyspaces:read", read, []string{}},
		{"the same twice", "accounts:read accounts:read", read, []string{"accounts:read"}},
		{"other white space is part of a name", "accounts:read\taccounts:write", all(), []string{}},
		{"everything", "accounts:read accounts:write keys:admin storyspaces:read storyspaces:write", all(), all().Names()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.has.Narrow(keys.ParseScopes(tt.claim)).Names(); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	if names := all().Names(); !slices.IsSorted(names) || len(names) != 5 {
		t.Errorf("all scopes, sorted, are %v", names)
	}
	if names := keys.Scopes(0).Names(); names == nil || len(names) != 0 {
		t.Errorf("no scopes are %#v, which JSON would not write as []", names)
	}
	if all().Has("accounts:*") || all().Has("") || keys.Scope("").Known() || !keys.AccountsRead.Known() {
		t.Error("a scope outside the closed set was granted")
	}
}

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
	want := []string{"accounts:read", "accounts:write", "storyspaces:read", "storyspaces:write"}
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

func TestAHalfConfiguredSharedKeyAcceptsNobody(t *testing.T) {
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
