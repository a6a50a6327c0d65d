package cli

import (
	"time"

	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

type keysRotateCmd struct {
	keyArg

	Grace time.Duration `help:"For how long the old key goes on being accepted, 0s to 720h; 0s for a leak." default:"24h" placeholder:"DURATION"`
}

// Help is shown by --help, below the usage.
func (keysRotateCmd) Help() string {
	return "The successor has the client, the scopes, the limit and the state of the old key, and lasts as long as that one " +
		"was made to. Only its key string goes to standard output."
}

// Run rotates a key.
func (c keysRotateCmd) Run(r *command, all *keysCmd) error {
	if err := checkID(c.ID); err != nil {
		return err
	}
	kind, _ := keystring.KindOf(c.ID)
	return r.administrate(kind == keystring.HS256, func(a administration) error {
		old, record, text, err := a.keyring.Rotate(r.ctx, cliActor(), c.ID, c.Grace)
		if err != nil {
			return a.refusal(r.ctx, err, c.ID)
		}
		made := handlers.RotatedKey{Key: handlers.KeyOf(record), Secret: text.Reveal(), Replaces: handlers.KeyOf(old)}
		if !all.JSON {
			r.say("Made key %s", inWords(made.Key))
			if old.Expired(time.Now()) {
				r.say("It replaces %s, which running servers refuse within a second.", c.ID)
			} else {
				r.say("It replaces %s, which is accepted until %s.", c.ID, made.Replaces.ExpiresAt)
			}
		}
		return r.printSecret(all.JSON, made, made.Key.ID, made.Secret)
	})
}
