package keys

import (
	"maps"
	"time"
)

// keep holds what record says of a key, unless what is held is at least as new. The caller has the lock.
func (k *Keyring) keep(record Record) *Key {
	held := k.keys[record.ID]
	if held != nil && held.record.Version >= record.Version {
		return held
	}
	fresh := k.newKey(record, held)
	if held != nil {
		held.stale.Store(true)
	} else if len(k.keys) >= k.most {
		for id, evicted := range k.keys { // any of them
			evicted.stale.Store(true)
			delete(k.keys, id)
			break
		}
	}
	k.keys[record.ID] = fresh
	delete(k.unknown, record.ID)
	return fresh
}

// remember notes that an id is unknown. The caller has the lock. What is full is looked through once in unknownFor: a
// flood of ids must not make each of them cost as much as all.
func (k *Keyring) remember(id string) {
	now := time.Now()
	if len(k.unknown) >= maxUnknown && now.Sub(k.swept) >= unknownFor {
		k.swept = now
		maps.DeleteFunc(k.unknown, func(_ string, until time.Time) bool { return !now.Before(until) })
	}
	if len(k.unknown) < maxUnknown {
		k.unknown[id] = now.Add(unknownFor)
	}
}

// apply takes over a change that the store has made: a key that is held is replaced, one that was unknown is forgotten
// to be so, and what is being read just now is read again.
func (k *Keyring) apply(records ...Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	for _, record := range records {
		delete(k.unknown, record.ID)
		if k.keys[record.ID] != nil {
			k.keep(record)
		}
	}
}

// forget lets go of everything that is held.
func (k *Keyring) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	for _, held := range k.keys {
		held.stale.Store(true)
	}
	clear(k.keys)
	clear(k.unknown)
}
