package keys

import (
	"math/bits"
	"slices"
	"strings"
)

// Scope names one thing a caller may do. The set is closed: there are no wildcards, and a name that is not listed here
// grants nothing.
type Scope string

// The scopes: the one list of them. The texts of refusals, the documentation, the help of the command line, what the
// shared key has, and the tests are made from it, so that a new scope is a line here.
var (
	AccountsRead     = scope("accounts:read")
	AccountsWrite    = scope("accounts:write")
	KeysAdmin        = scope("keys:admin")
	StoryspacesRead  = scope("storyspaces:read")
	StoryspacesWrite = scope("storyspaces:write")
)

// every is the closed set, sorted; a scope's place in it is its place in Scopes.
var every []Scope

// scope adds one to the closed set.
func scope(name Scope) Scope {
	at, _ := slices.BinarySearch(every, name)
	every = slices.Insert(every, at, name)
	return name
}

// maxScopes is how many scopes there can be: an operator's own, of which the access file may have 250, and ours.
const maxScopes = 320

// Scopes is a set of scopes. The zero value is empty. It is a value without a pointer, so that narrowing and asking
// allocate nothing.
type Scopes [maxScopes / 64]uint64

// EveryScope is the closed set.
func EveryScope() Scopes { return ScopesOf(every...) }

// ScopesOf is the set of the given scopes. Unknown ones add nothing.
func ScopesOf(scopes ...Scope) Scopes {
	var set Scopes
	for _, s := range scopes {
		set = set.with(s)
	}
	return set
}

// ParseScopes reads the form of the scope claim (RFC 8693, section 4.2): names separated by spaces. Unknown names add
// nothing.
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

// Known says whether s is one of the closed set.
func (s Scope) Known() bool {
	_, known := slices.BinarySearch(every, s)
	return known
}

// Has says whether s is in the set. An unknown scope never is.
func (set Scopes) Has(s Scope) bool {
	at, known := slices.BinarySearch(every, s)
	return known && set[at/64]&(1<<(at%64)) != 0
}

// Narrow is what both sets have: a narrowed set never grants more than either.
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
