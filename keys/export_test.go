package keys

import "time"

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
