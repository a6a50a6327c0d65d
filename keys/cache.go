package keys

import (
	"maps"
	"time"
)

// keep caches the state of a key, unless the cached one is at least as new. A full cache evicts any other key, which is
// read again when it is used. The caller holds mu.
func (k *Keyring) keep(record Record) *Key {
	held := k.keys[record.ID]
	if held != nil && held.record.Version >= record.Version {
		return held
	}
	fresh := k.newKey(record, held)
	if held != nil {
		held.stale.Store(true)
	} else if len(k.keys) >= k.capacity {
		for id, evicted := range k.keys {
			evicted.stale.Store(true)
			delete(k.keys, id)
			break
		}
	}
	k.keys[record.ID] = fresh
	delete(k.unknown, record.ID)
	return fresh
}

// rememberUnknown caches that an id is unknown. The caller holds mu. A full cache is swept at most once in unknownFor, so
// that a flood of made-up ids does not pay for a sweep with each of them.
func (k *Keyring) rememberUnknown(id string) {
	now := time.Now()
	if len(k.unknown) >= maxUnknown && now.Sub(k.unknownSwept) >= unknownFor {
		k.unknownSwept = now
		maps.DeleteFunc(k.unknown, func(_ string, until time.Time) bool { return !now.Before(until) })
	}
	if len(k.unknown) < maxUnknown {
		k.unknown[id] = now.Add(unknownFor)
	}
}

// apply updates the cache after changes in the store:
//   - a cached key is replaced, and its old state is stale;
//   - an id that was unknown is no longer;
//   - a key that is just being read is read again.
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

// forget empties the cache.
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
