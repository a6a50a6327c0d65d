package keys

import (
	"context"
	"errors"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// SetState enables, disables or revokes a key. A state that the key has already changes nothing, also not the audit. A revoked
// key stays revoked: another state is fault.Conflict. fault.NotFound without the key.
//
// No request that this process begins after SetState has returned is served with a key that is not enabled.
func (k *Keyring) SetState(ctx context.Context, by Actor, id string, state State) (Record, error) {
	if !keystring.IsID(id) {
		return Record{}, fault.New(fault.NotFound)
	}
	action := map[State]string{Enabled: ActionEnable, Disabled: ActionDisable, Revoked: ActionRevoke}[state]
	event := Event{At: k.now(), Actor: by, Action: action, Target: id, Count: 1}
	record, err := k.store.ChangeKey(ctx, id, event, func(r *Record) (bool, error) {
		if r.State == state {
			return false, nil
		}
		if r.State == Revoked {
			return false, fault.New(fault.Conflict)
		}
		if err := r.supported(); err != nil && state != Revoked {
			return false, err
		}
		r.State = state
		return true, nil
	})
	if err != nil {
		return Record{}, err
	}
	k.apply(record)
	return record, nil
}

// Rewrap encrypts every hs256 key again, under the current master key, and returns how many. It is for a change of the master
// key. Keys that cannot be decrypted, and those of a newer version of the program, stay as they are; the error names them.
func (k *Keyring) Rewrap(ctx context.Context, by Actor) (int, error) {
	ids, err := k.store.SealedKeys(ctx)
	if err != nil {
		return 0, err
	}
	done := 0
	var failed error
	for _, id := range ids {
		event := Event{At: k.now(), Actor: by, Action: ActionRewrap, Target: id, Count: 1}
		record, err := k.store.ChangeKey(ctx, id, event, func(r *Record) (bool, error) {
			if err := r.supported(); err != nil {
				return false, err
			}
			text, err := k.sealer.Open(r.ID, r.Kind, r.Material)
			if err != nil {
				return false, err
			}
			r.Material, err = k.sealer.Seal(r.ID, r.Kind, text)
			return err == nil, err
		})
		newer, isNewer := errors.AsType[*NewerError](err)
		switch {
		case errors.Is(err, errWrongMasterKey):
			failed = errors.Join(failed, err)
		case isNewer:
			failed = errors.Join(failed, newer)
		case err != nil:
			return done, err
		default:
			done++
			k.apply(record)
		}
	}
	return done, failed
}
