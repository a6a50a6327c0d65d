package keys

import (
	"context"
	"time"
)

// HoldAtMost bounds how many keys are held, far below what is real.
func (k *Keyring) HoldAtMost(n int) { k.most = n }

// SetMonotonic puts another clock in the place of the one that nobody sets.
func (k *Keyring) SetMonotonic(clock func() time.Duration) { k.monotonic = clock }

// Unknown is how many ids are remembered as unknown.
func (k *Keyring) Unknown() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.unknown)
}

// Part is the fraction of a key's rate that this instance lets through.
func (k *Keyring) Part(id string) float64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.part(id)
}

// Press makes a key count as asked for as much as its whole rate, until it is measured again.
func (k *Keyring) Press(id string) {
	k.limits.mu.Lock()
	defer k.limits.mu.Unlock()
	if k.limits.measured == nil {
		k.limits.measured = map[string]*limit{}
	}
	k.limits.measured[id] = &limit{id: id, rate: 1, asked: 1}
}

// Unpress makes a key count as asked for nothing.
func (k *Keyring) Unpress(id string) {
	k.limits.mu.Lock()
	defer k.limits.mu.Unlock()
	delete(k.limits.measured, id)
}

// WriteRefused writes the refusals that are due.
func (k *Keyring) WriteRefused(ctx context.Context) error { return k.flushRefused(ctx, false) }

// Refusals is how many rows of refusals are noted, and how many callers are known to have been refused.
func (k *Keyring) Refusals() (rows, callers int) {
	k.notes.mu.Lock()
	defer k.notes.mu.Unlock()
	return len(k.notes.refused), len(k.notes.spans)
}

// Waiting is how many keys wait to be read.
func (k *Keyring) Waiting() int {
	k.lookups.mu.Lock()
	defer k.lookups.mu.Unlock()
	return len(k.lookups.waiting)
}
