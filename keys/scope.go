package keys

import (
	"math/bits"
	"slices"
	"strings"
)

// Scope names one thing that a caller may do. There are no wildcards, and an unknown name grants nothing.
type Scope string

// All scopes. A new scope is one line here: error messages, documentation, the help of the command line, the shared key and the
// tests take them from this list.
var (
	AccountsRead     = scope("accounts:read")
	AccountsWrite    = scope("accounts:write")
	KeysAdmin        = scope("keys:admin")
	StoryspacesRead  = scope("storyspaces:read")
	StoryspacesWrite = scope("storyspaces:write")
)

// every has all scopes, sorted. The index of a scope in it is its bit in Scopes.
var every []Scope

// scope adds one to every.
func scope(name Scope) Scope {
	at, _ := slices.BinarySearch(every, name)
	every = slices.Insert(every, at, name)
	return name
}

// maxScopes is how many scopes there can be: ours, and up to 250 of an access file.
const maxScopes = 320

// Scopes is a set of scopes; the zero value is empty. It is a bit set without a pointer, so that no operation allocates.
type Scopes [maxScopes / 64]uint64

// EveryScope is the set of all scopes.
func EveryScope() Scopes { return ScopesOf(every...) }

// ScopesOf is the set of the given scopes, without unknown ones.
func ScopesOf(scopes ...Scope) Scopes {
	var set Scopes
	for _, s := range scopes {
		set = set.with(s)
	}
	return set
}

// ParseScopes reads a scope claim (RFC 8693, section 4.2): names separated by spaces. Unknown names are ignored.
func ParseScopes(text string) Scopes {
	var set Scopes
	for name := range strings.SplitSeq(text, " ") {
		set = set.with(Scope(name))
	}
	return set
}

func (set Scopes) with(s Scope) Scopes {
	if at, known := slices.BinarySearch(every, s); known {
		set[at/64] |= 1 << (at % 64)
	}
	return set
}

// Known reports whether s is one of EveryScope.
func (s Scope) Known() bool {
	_, known := slices.BinarySearch(every, s)
	return known
}

// Has reports whether s is in the set. An unknown scope never is.
func (set Scopes) Has(s Scope) bool {
	at, known := slices.BinarySearch(every, s)
	return known && set[at/64]&(1<<(at%64)) != 0
}

// Narrow is the intersection of both sets.
func (set Scopes) Narrow(to Scopes) Scopes {
	for i := range set {
		set[i] &= to[i]
	}
	return set
}

// Without is the set without one scope.
func (set Scopes) Without(s Scope) Scopes {
	for i, other := range ScopesOf(s) {
		set[i] &^= other
	}
	return set
}

// Names lists the scopes in alphabetical order; never nil.
func (set Scopes) Names() []string {
	names := []string{}
	for i, word := range set {
		for ; word != 0; word &= word - 1 {
			names = append(names, string(every[64*i+bits.TrailingZeros64(word)]))
		}
	}
	return names
}
