package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
)

type keysDisableCmd struct{ keyArg }

// Run disables a key.
func (c keysDisableCmd) Run(r *command, all *keysCmd) error {
	return r.setState(c.ID, keys.Disabled, all.JSON)
}

type keysEnableCmd struct{ keyArg }

// Run enables a key.
func (c keysEnableCmd) Run(r *command, all *keysCmd) error {
	return r.setState(c.ID, keys.Enabled, all.JSON)
}

type keysRevokeCmd struct {
	keyArg

	Wait bool `help:"Wait, at most 3s, until every running server has seen it; fail if one has not."`
}

// Run revokes a key.
func (c keysRevokeCmd) Run(r *command, all *keysCmd) error {
	if !c.Wait {
		return r.setState(c.ID, keys.Revoked, all.JSON)
	}
	if err := checkID(c.ID); err != nil {
		return err
	}
	return r.administrate(false, func(a administration) error {
		record, err := a.keyring.SetState(r.ctx, cliActor(), c.ID, keys.Revoked)
		if err != nil {
			return a.refusal(r.ctx, err, c.ID)
		}
		confirmed, late, err := a.keyring.Confirm(r.ctx, record.Version)
		if err != nil {
			return fmt.Errorf("key %s is revoked, but which servers have seen it is not known: %w", c.ID, sentence(err, c.ID))
		}
		view := handlers.ConfirmedOf(record, confirmed, late)
		if all.JSON {
			err = r.printJSON(view)
		} else {
			r.say("Key %s is revoked.", c.ID)
			for _, seen := range view.Confirmed {
				r.say("%s has seen it after %d ms.", seen.Instance, seen.MS)
			}
		}
		for _, instance := range view.Late {
			err = errors.Join(err, fmt.Errorf("%s has not seen it yet", instance))
		}
		return err
	})
}

// setState changes the state of a key and prints the new state.
func (r *command) setState(id string, state keys.State, asJSON bool) error {
	if err := checkID(id); err != nil {
		return err
	}
	return r.administrate(false, func(a administration) error {
		record, err := a.keyring.SetState(r.ctx, cliActor(), id, state)
		if err != nil {
			return a.refusal(r.ctx, err, id)
		}
		view := handlers.KeyOf(record)
		if asJSON {
			return r.printJSON(view)
		}
		r.say("Key %s is %s. Running servers follow within a second.", id, view.State)
		if state == keys.Enabled && record.Expired(time.Now()) {
			r.say("It is refused all the same: it expired at %s.", view.ExpiresAt)
		}
		return nil
	})
}
