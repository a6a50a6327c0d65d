package keys_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// contract are the scopes that callers know of. There may be more.
var contract = []string{"accounts:read", "accounts:write", "keys:admin", "storyspaces:read", "storyspaces:write"}

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
		{"other white space is part of a name", "accounts:read\taccounts:write", keys.EveryScope(), []string{}},
		{"all that callers know of", strings.Join(contract, " "), keys.EveryScope(), contract},
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
	every := keys.EveryScope()
	names := every.Names()
	if !slices.IsSorted(names) {
		t.Errorf("all scopes, sorted, are %v", names)
	}
	form := regexp.MustCompile(`^[a-z][a-z0-9-]*(:[a-z][a-z0-9-]*)+$`)
	for i, name := range names {
		if !form.MatchString(name) || len(name) > 64 {
			t.Errorf("%q has not the form of a scope", name)
		}
		one := keys.ScopesOf(keys.Scope(name))
		if got := one.Names(); len(got) != 1 || got[0] != name || i > 0 && one.Has(keys.Scope(names[i-1])) {
			t.Errorf("the set of %q is %q", name, got)
		}
		if !every.Has(keys.Scope(name)) || every.Without(keys.Scope(name)).Has(keys.Scope(name)) || !keys.Scope(name).Known() {
			t.Errorf("%q is not one of all", name)
		}
		if got := every.Without(keys.Scope(name)).Names(); len(got) != len(names)-1 {
			t.Errorf("without %q there are %q", name, got)
		}
	}
	for _, name := range contract {
		if !slices.Contains(names, name) {
			t.Errorf("%q is missing", name)
		}
	}
	if names := (keys.Scopes{}).Names(); names == nil || len(names) != 0 {
		t.Errorf("no scopes are %#v, which JSON would not write as []", names)
	}
	for _, unknown := range []keys.Scope{"", "accounts:*", "accounts", "notes:read:all", "zzz:zzz", "storyspaces:writer"} {
		if unknown.Known() || every.Has(unknown) || keys.ScopesOf(unknown) != (keys.Scopes{}) || every.Without(unknown) != every {
			t.Errorf("%q, a scope outside of the closed set, means something", unknown)
		}
	}
}

// TestScopesCostNoAllocation: every request narrows and asks.
func TestScopesCostNoAllocation(t *testing.T) {
	set, granted := keys.EveryScope(), false
	if n := testing.AllocsPerRun(100, func() {
		granted = set.Narrow(keys.ParseScopes("accounts:read nobody:knows keys:admin")).Has(keys.AccountsRead)
	}); n != 0 || !granted {
		t.Errorf("%v allocations, granted %v", n, granted)
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
