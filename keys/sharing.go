package keys

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

// A key's limit holds for all instances together, though none asks another one in a request. Each lets an even part of
// it through, until somewhere a key is asked for more than that. Then the instances tell each other, in the store, what
// they are asked for, and divide the limit by it.
//
// Parts never add up to more than the whole: an instance takes less by itself, and more only of what the others, in a
// transaction that all of them wait for, have left over. Only while one starts it may, for as long as the others do not
// know, let its even part through on top.

const (
	// measureEvery is how often requests are counted, and the shortest time between two divisions.
	measureEvery = 250 * time.Millisecond
	// pressed is the fraction of its even part from which on an instance says what a key is asked for.
	pressed = 0.8
	// idle is what an instance that is asked for nothing counts as being asked for, as a fraction of an even part: what
	// it lets through before it is heard.
	idle = 0.05
	// material is the change of a part that the others need not wait a beat to hear of.
	material = 0.05
	// even is how near to the even part counts as even.
	even = 1e-6
	// maxShares is of how many keys an instance says anything. All read what all say, so this bounds what dividing costs;
	// what is left out stays divided evenly.
	maxShares = 200
	// steps is of how many steps a number of a share is.
	steps = 1e4
	// dividedFor is how long after its last beat an instance has its part. One that does not reach the store refuses
	// registered keys at the latest maxViewAge after its last poll, which is at most a beat younger than its last beat: if
	// it lives, it and those who have taken its part over overlap for at most two seconds.
	dividedFor = 4 * time.Second
)

// share is one instance's part in the limit of a key. Both numbers are fractions of the key's rate.
type share struct {
	// Asked is what the instance is asked for; at most 1, more than the whole nobody can use.
	Asked float64 `json:"a"`
	// Part is what it lets through at most.
	Part float64 `json:"p"`
}

// shares are those of one instance, by key. A key that is not in them has the even part.
type shares map[string]share

// parseShares reads what an instance has said. What cannot be read says nothing.
func parseShares(text string) shares {
	var said shares
	if text == "" || json.Unmarshal([]byte(text), &said) != nil {
		return nil
	}
	return said
}

func (s shares) text() string {
	if len(s) == 0 {
		return ""
	}
	text, _ := json.Marshal(s) //nolint:errchkjson // the numbers are finite
	return string(text)
}

// divide gives what an instance says next: own is what it has said, others what the others say, and asked what it is
// asked for. told reports whether that is news on which the others should act at once.
func divide(asked map[string]float64, own shares, others []shares) (next shares, told bool) {
	n := float64(len(others) + 1)
	next = shares{}
	for _, key := range divided(asked, pressed/n, own, others) {
		mine := share{Asked: asked[key], Part: 1 / n}
		if said, ok := own[key]; ok {
			mine.Part = said.Part
		}
		press, all, taken := mine.Asked > pressed/n, mine.Asked+idle/n, 0.0
		for _, other := range others {
			said, ok := other[key]
			if !ok {
				said.Part = 1 / n
			}
			press = press || said.Asked > pressed/n
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
func divided(asked map[string]float64, least float64, own shares, others []shares) []string {
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
		if len(keys) >= maxShares {
			break
		}
		if _, known := own[key]; !known {
			keys = append(keys, key)
		}
	}
	return keys
}

// differ reports whether two states of an instance's shares differ by so much that the others should read it.
func differ(a, b shares) bool {
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

// divides keeps the limits divided until ctx ends. It looks at the others when the store's turn or this instance's
// heartbeat says that there is something to see, and when its own keys are asked for more than the others know.
func (k *Keyring) divides(ctx context.Context) {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		turned := false
		select {
		case <-tick.C:
		case <-k.turned:
			turned = true
		case <-ctx.Done():
			return
		}
		if news := k.measure(); turned || news {
			k.report("how limits are divided", k.Divide(ctx))
		}
		if turned { // whoever tells often is not answered more often
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Divide looks which instances there are, and divides with them the limits of the keys that are asked for more than an
// even part.
func (k *Keyring) Divide(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	live, err := k.Store.Instances(ctx, dividedFor)
	if err != nil {
		return err
	}
	this, heard := live[k.Instance]
	if !heard {
		// The beat of this instance does not get through, so it does not know of the others' either.
		return nil
	}
	asked := k.limits.asked()
	own, others := k.fleet(live)
	// The others go by what they can read, which need not be what this instance has last tried to say, or has still.
	if next, _ := divide(asked, own, others); !differ(next, parseShares(this.Shares)) && !differ(next, own) {
		return nil
	}
	var next shares
	err = k.Store.DivideLimits(ctx, k.Instance, dividedFor, func(live map[string]Instance) (string, bool) {
		own, others := k.fleet(live)
		var told bool
		next, told = divide(asked, own, others)
		k.lower(next)
		return next.text(), told
	})
	if err != nil {
		if fault.CodeOf(err) == fault.NotFound {
			return nil // it is the next beat's turn
		}
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.setParts(next)
	return nil
}

// fleet takes over how many instances there are, and gives what this one and the others say.
func (k *Keyring) fleet(live map[string]Instance) (own shares, others []shares) {
	for id, instance := range live {
		if id != k.Instance {
			others = append(others, parseShares(instance.Shares))
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(others) + 1; n != k.instances {
		k.instances = n
		for key := range k.keys {
			k.limit(key)
		}
	}
	return k.parts, others
}

// lower takes over at once what is less than before: the others may count on it as soon as they can read it.
func (k *Keyring) lower(next shares) {
	k.mu.Lock()
	defer k.mu.Unlock()
	lowered := shares{}
	for _, all := range []shares{k.parts, next} {
		for key := range all {
			lowered[key] = share{Part: min(k.part(key), next.part(key, k.instances))}
		}
	}
	k.setParts(lowered)
}

// part is the part of a key. The caller has the lock.
func (k *Keyring) part(key string) float64 { return k.parts.part(key, k.instances) }

func (s shares) part(key string, instances int) float64 {
	if said, ok := s[key]; ok {
		return said.Part
	}
	return 1 / float64(instances)
}

// setParts takes over parts. The caller has the lock.
func (k *Keyring) setParts(next shares) {
	before := k.parts
	k.parts = next
	for _, all := range []shares{before, next} {
		for key := range all {
			k.limit(key)
		}
	}
}

// limit sets the limit of a key, if it is held. The caller has the lock.
func (k *Keyring) limit(key string) {
	if held := k.keys[key]; held != nil && held.limit != nil {
		held.limit.set(k.part(key), k.instances)
	}
}

// measure counts, and reports whether a key has come to be asked for more than its part, of which the others do not
// know.
func (k *Keyring) measure() bool {
	k.limits.measure(k.monotonic())
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.instances < 2 || len(k.parts) >= maxShares {
		return false
	}
	for id, asked := range k.limits.asked() {
		if _, told := k.parts[id]; !told && asked > pressed/float64(k.instances) {
			return true
		}
	}
	return false
}
