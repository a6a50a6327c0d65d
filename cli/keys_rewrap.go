package cli

import (
	"fmt"
)

type keysRewrapCmd struct{}

// Help is shown by --help, below the usage.
func (keysRewrapCmd) Help() string {
	return "First start every server with the new key in MASTER_KEY and the old one in MASTER_KEY_PREVIOUS, then run this " +
		"with the same two, then remove MASTER_KEY_PREVIOUS. It can be repeated."
}

// Run seals the hs256 keys anew.
func (keysRewrapCmd) Run(r *command, all *keysCmd) error {
	return r.administrate(true, func(a administration) error {
		sealed, err := a.keyring.Rewrap(r.ctx, cliActor())
		switch {
		case err != nil && sealed > 0:
			return fmt.Errorf("%w\nkeys that were sealed anew before that: %d", sentence(err, ""), sealed)
		case err != nil:
			return sentence(err, "")
		case all.JSON:
			return r.printJSON(struct {
				Rewrapped int `json:"rewrapped"`
			}{sealed})
		case sealed == 0:
			r.say("There are no hs256 keys.")
		default:
			r.say("Keys sealed anew under MASTER_KEY: %d", sealed)
		}
		return nil
	})
}
