package keys_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/keys"
)

// contract has the scopes of the documentation. There may be more.
var contract = []string{"accounts:read", "accounts:write", "keys:admin", "storyspaces:read", "storyspaces:write"}

func TestScopesNarrow(t *testing.T) {
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
			t.Errorf("the unknown scope %q grants something", unknown)
		}
	}
}

// Every request uses Narrow and Has.
func TestScopesAllocateNothing(t *testing.T) {
	set, granted := keys.EveryScope(), false
	if n := testing.AllocsPerRun(100, func() {
		granted = set.Narrow(keys.ParseScopes("accounts:read nobody:knows keys:admin")).Has(keys.AccountsRead)
	}); n != 0 || !granted {
		t.Errorf("%v allocations, granted %v", n, granted)
	}
}
