package keys

import (
	"slices"
	"strings"
)

// Scope names one thing a caller may do. The set is closed: there are no wildcards, and a name that is not listed here
// grants nothing.
type Scope string

// The scopes, in the order in which they are listed everywhere.
const (
	AccountsRead     Scope = "accounts:read"
	AccountsWrite    Scope = "accounts:write"
	KeysAdmin        Scope = "keys:admin"
	StoryspacesRead  Scope = "storyspaces:read"
	StoryspacesWrite Scope = "storyspaces:write"
)

// Scopes is a set of scopes. The zero value is empty. It is a value of one byte, so narrowing and asking cost nothing.
type Scopes uint8

// known lists the closed set; a scope's place in it is its bit.
func known() [5]Scope {
	return [5]Scope{AccountsRead, AccountsWrite, KeysAdmin, StoryspacesRead, StoryspacesWrite}
}

// ScopesOf is the set of the given scopes. Unknown ones add nothing.
func ScopesOf(scopes ...Scope) Scopes {
	var set Scopes
	for _, s := range scopes {
		set |= s.bit()
	}
	return set
}

// ParseScopes reads the form of the scope claim (RFC 8693, section 4.2): names separated by spaces. Unknown names add
// nothing.
func ParseScopes(text string) Scopes {
	var set Scopes
	for name := range strings.SplitSeq(text, " ") {
		set |= Scope(name).bit()
	}
	return set
}

// Known says whether s is one of the closed set.
func (s Scope) Known() bool { return s.bit() != 0 }

func (s Scope) bit() Scopes {
	list := known()
	i := slices.Index(list[:], s)
	if i < 0 {
		return 0
	}
	return 1 << i
}

// Has says whether s is in the set. An unknown scope never is.
func (set Scopes) Has(s Scope) bool { return set&s.bit() != 0 }

// Narrow is what both sets have: a narrowed set never grants more than either.
func (set Scopes) Narrow(to Scopes) Scopes { return set & to }

// Names lists the scopes in alphabetical order; never nil.
func (set Scopes) Names() []string {
	list := known()
	names := make([]string, 0, len(list))
	for i, s := range list {
		if set&(1<<i) != 0 {
			names = append(names, string(s))
		}
	}
	return names
}
