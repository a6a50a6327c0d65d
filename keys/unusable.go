package keys

import (
	"context"
	"errors"
)

const (
	// sealedTried is how many sealed keys a master key is tried on before it seals another one.
	sealedTried = 5
	// sealedCounted bounds how many sealed keys are opened to see which of them cannot be, so that a start does not
	// get longer with the store.
	sealedCounted = 10_000
)

// canSeal says why hs256 keys cannot be made here: errNoMasterKey, or errWrongMasterKey where it is not the one that
// those in the store are sealed under, so that no other process could open a new one. Revoked keys do not count: whoever
// has lost the master key revokes what was sealed under it, and begins anew. Other errors are the store's.
func (k *Keyring) canSeal(ctx context.Context) error {
	if k.Sealer == nil {
		return errNoMasterKey
	}
	newest, err := k.Store.SealedInUse(ctx, sealedTried)
	if err != nil {
		return err
	}
	var wrong error
	for _, record := range newest { // a single one may be damaged
		if record.served() != nil {
			continue
		}
		if _, wrong = k.Sealer.Open(record.ID, record.Kind, record.Material); wrong == nil {
			return nil
		}
	}
	return wrong
}

// Unusable is how many hs256 keys the master key does not open, of the newest 10,000 that are neither revoked nor
// expired.
func (k *Keyring) Unusable() int { return int(k.unusable.Load()) }

// countUnusable counts them anew, and says so where the number has changed.
func (k *Keyring) countUnusable(ctx context.Context) {
	if err := k.tryCountUnusable(ctx); err != nil && !errors.Is(err, context.Canceled) {
		k.Logger.Warn("the hs256 keys that MASTER_KEY does not open cannot be counted", "error", err)
	}
}

func (k *Keyring) tryCountUnusable(ctx context.Context) error {
	version := k.version.Load()
	if version == k.counted && k.unusable.Load() == 0 {
		return nil // and none of the keys that there are comes to be one
	}
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	newest, err := k.Store.SealedInUse(ctx, sealedCounted)
	if err != nil {
		return err
	}
	k.counted = version
	var unusable, of int64
	var why error
	now := k.Now()
	for _, record := range newest {
		if record.served() != nil || record.Expired(now) {
			continue
		}
		of++
		if _, err := k.Sealer.Open(record.ID, record.Kind, record.Material); err != nil {
			unusable, why = unusable+1, err
		}
	}
	switch before := k.unusable.Swap(unusable); {
	case unusable == before:
	case errors.Is(why, errNoMasterKey):
		k.Logger.Warn("MASTER_KEY is not set: hs256 keys in the store cannot be used, calls with them are answered 503",
			"keys", unusable, "of", of)
	case unusable > 0:
		k.Logger.Warn("MASTER_KEY does not open hs256 keys in the store, calls with them are answered 503: "+
			"set the one under which they were made, as MASTER_KEY or as MASTER_KEY_PREVIOUS", "keys", unusable, "of", of)
	default:
		k.Logger.Info("every hs256 key in the store can be used", "keys", of)
	}
	return nil
}
