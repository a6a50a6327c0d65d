// Package shares divides the limit of a key among the instances of the service. It is pure: it knows no clock and no store.
package shares

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
)

const (
	// Pressed is the fraction of its even part from which on an instance says what a key is asked for.
	Pressed = 0.8
	// idle is what an instance that is asked for nothing counts as being asked for, as a fraction of an even part: what
	// it lets through before it is heard.
	idle = 0.05
	// material is the change of a part that the others need not wait a beat to hear of.
	material = 0.05
	// even is how near to the even part counts as even.
	even = 1e-6
	// MaxShares is of how many keys an instance says anything. All read what all say, so this bounds what dividing costs;
	// what is left out stays divided evenly.
	MaxShares = 200
	// steps is of how many steps a number of a share is.
	steps = 1e4
)

// Share is one instance's part in the limit of a key. Both numbers are fractions of the key's rate.
type Share struct {
	// Asked is what the instance is asked for; at most 1, more than the whole nobody can use.
	Asked float64 `json:"a"`
	// Part is what it lets through at most.
	Part float64 `json:"p"`
}

// Shares are those of one instance, by key. A key that is not in them has the even part.
type Shares map[string]Share

// Parse reads what an instance has said. What cannot be read says nothing.
func Parse(text string) Shares {
	var said Shares
	if text == "" || json.Unmarshal([]byte(text), &said) != nil {
		return nil
	}
	return said
}

// Text is what Parse reads.
func (s Shares) Text() string {
	if len(s) == 0 {
		return ""
	}
	text, _ := json.Marshal(s) //nolint:errchkjson // the numbers are finite
	return string(text)
}

// Divide gives what an instance says next: own is what it has said, others what the others say, and asked what it is
// asked for. told reports whether that is news on which the others should act at once.
func Divide(asked map[string]float64, own Shares, others []Shares) (next Shares, told bool) {
	n := float64(len(others) + 1)
	next = Shares{}
	for _, key := range divided(asked, Pressed/n, own, others) {
		mine := Share{Asked: asked[key], Part: 1 / n}
		if said, ok := own[key]; ok {
			mine.Part = said.Part
		}
		press, all, taken := mine.Asked > Pressed/n, mine.Asked+idle/n, 0.0
		for _, other := range others {
			said, ok := other[key]
			if !ok {
				said.Part = 1 / n
			}
			press = press || said.Asked > Pressed/n
			all += said.Asked + idle/n
			taken += said.Part
		}
		target := 1 / n
		if press {
			target = (mine.Asked + idle/n) / all
		}
		before := mine.Part
		if target > mine.Part {
			target = max(mine.Part, min(target, 1-taken))
		}
		_, known := own[key]
		if !press && math.Abs(target-1/n) < even {
			told = told || known
			continue
		}
		mine.Part = max(1, math.Floor(target*steps+even)) / steps // never more than there is
		mine.Asked = math.Round(mine.Asked*steps) / steps
		next[key] = mine
		told = told || !known || before-mine.Part > material
	}
	return next, told
}

// divided are the keys of which an instance says something: those of which it has, which must end in order, and then
// those that others speak of, or that it is asked for itself for more than least. Where they are too many all choose the
// same ones.
func divided(asked map[string]float64, least float64, own Shares, others []Shares) []string {
	keys := slices.Collect(maps.Keys(own))
	more := map[string]bool{}
	for _, other := range others {
		for key := range other {
			more[key] = true
		}
	}
	for key, a := range asked {
		if a > least {
			more[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(more)) {
		if len(keys) >= MaxShares {
			break
		}
		if _, known := own[key]; !known {
			keys = append(keys, key)
		}
	}
	return keys
}

// Differ reports whether two states of an instance's shares differ by so much that the others should read it.
func Differ(a, b Shares) bool {
	if len(a) != len(b) {
		return true
	}
	for key, one := range a {
		two, ok := b[key]
		if !ok || math.Abs(one.Asked-two.Asked) > material || math.Abs(one.Part-two.Part) > even {
			return true
		}
	}
	return false
}

// Part is what one of so many instances lets through of a key.
func (s Shares) Part(key string, instances int) float64 {
	if said, ok := s[key]; ok {
		return said.Part
	}
	return 1 / float64(instances)
}
