package keys

import (
	"context"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys/shares"
)

const (
	// measureEvery is how often requests are counted, and the shortest time between two divisions.
	measureEvery = 250 * time.Millisecond
	// dividedFor is how long after its last beat an instance has its part. One that does not reach the store refuses
	// registered keys at the latest maxViewAge after its last poll, which is at most a beat younger than its last beat: if
	// it lives, it and those who have taken its part over overlap for at most two seconds.
	dividedFor = 4 * time.Second
)

// A key's limit holds for all instances together, though none asks another one in a request. Each lets an even part of
// it through, until somewhere a key is asked for more than that. Then the instances tell each other, in the store, what
// they are asked for, and divide the limit by it.
//
// Parts never add up to more than the whole: an instance takes less by itself, and more only of what the others, in a
// transaction that all of them wait for, have left over. Only while one starts it may, for as long as the others do not
// know, let its even part through on top.

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
	live, err := k.store.Instances(ctx, dividedFor)
	if err != nil {
		return err
	}
	this, heard := live[k.instance]
	if !heard {
		// The beat of this instance does not get through, so it does not know of the others' either.
		return nil
	}
	asked := k.limits.asked()
	own, others := k.fleet(live)
	// The others go by what they can read, which need not be what this instance has last tried to say, or has still.
	if next, _ := shares.Divide(asked, own, others); !shares.Differ(next, shares.Parse(this.Shares)) && !shares.Differ(next, own) {
		return nil
	}
	var next shares.Shares
	err = k.store.DivideLimits(ctx, k.instance, dividedFor, func(live map[string]Instance) (string, bool) {
		own, others := k.fleet(live)
		var told bool
		next, told = shares.Divide(asked, own, others)
		k.lower(next)
		return next.Text(), told
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
func (k *Keyring) fleet(live map[string]Instance) (own shares.Shares, others []shares.Shares) {
	for id, instance := range live {
		if id != k.instance {
			others = append(others, shares.Parse(instance.Shares))
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
func (k *Keyring) lower(next shares.Shares) {
	k.mu.Lock()
	defer k.mu.Unlock()
	lowered := shares.Shares{}
	for _, all := range []shares.Shares{k.parts, next} {
		for key := range all {
			lowered[key] = shares.Share{Part: min(k.part(key), next.Part(key, k.instances))}
		}
	}
	k.setParts(lowered)
}

// part is the part of a key. The caller has the lock.
func (k *Keyring) part(key string) float64 { return k.parts.Part(key, k.instances) }

// setParts takes over parts. The caller has the lock.
func (k *Keyring) setParts(next shares.Shares) {
	before := k.parts
	k.parts = next
	for _, all := range []shares.Shares{before, next} {
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
	if k.instances < 2 || len(k.parts) >= shares.MaxShares {
		return false
	}
	for id, asked := range k.limits.asked() {
		if _, told := k.parts[id]; !told && asked > shares.Pressed/float64(k.instances) {
			return true
		}
	}
	return false
}
