package keys

import (
	"context"
	"time"
)

// SetCapacity bounds how many keys are held, far below what is real.
func (k *Keyring) SetCapacity(n int) { k.capacity = n }

// SetMonotonic puts another clock in the place of the one that nobody sets.
func (k *Keyring) SetMonotonic(clock func() time.Duration) { k.monotonic = clock }

// Unknown is how many ids are remembered as unknown.
func (k *Keyring) Unknown() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.unknown)
}

// Part is the fraction of a key's rate that this instance lets through.
func (k *Keyring) Share(id string) float64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.share(id)
}

// Press makes a key count as asked for as much as its whole rate, until it is measured again.
func (k *Keyring) SetDemand(id string) {
	k.limits.mu.Lock()
	defer k.limits.mu.Unlock()
	if k.limits.measured == nil {
		k.limits.measured = map[string]*limit{}
	}
	k.limits.measured[id] = &limit{id: id, rate: 1, demand: 1}
}

// Unpress makes a key count as asked for nothing.
func (k *Keyring) ClearDemand(id string) {
	k.limits.mu.Lock()
	defer k.limits.mu.Unlock()
	delete(k.limits.measured, id)
}

// WriteRefused writes the refusals that are due.
func (k *Keyring) WriteRefused(ctx context.Context) error { return k.flushRefused(ctx, false) }

// Refusals is how many rows of refusals are noted, and how many callers are known to have been refused.
func (k *Keyring) Refusals() (rows, callers int) {
	k.usage.mu.Lock()
	defer k.usage.mu.Unlock()
	return len(k.usage.refused), len(k.usage.spans)
}

// Waiting is how many keys wait to be read.
func (k *Keyring) Waiting() int {
	k.lookups.mu.Lock()
	defer k.lookups.mu.Unlock()
	return len(k.lookups.waiting)
}
