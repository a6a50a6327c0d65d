package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/store"
)

// keysCmd is the administration of registered keys. It opens the store itself, so that it needs no server and no key:
// the first key of an administrator is made with it.
type keysCmd struct {
	JSON bool `name:"json" help:"Print the JSON that the HTTP API answers."`

	Create  keysCreateCmd  `cmd:"" help:"Make a key, and print its key string, which is shown this once."`
	List    keysListCmd    `cmd:"" help:"List keys, oldest first."`
	Show    keysShowCmd    `cmd:"" help:"Show a key."`
	Rotate  keysRotateCmd  `cmd:"" help:"Make a successor of a key, and print its key string, which is shown this once."`
	Disable keysDisableCmd `cmd:"" help:"Refuse a key until it is enabled."`
	Enable  keysEnableCmd  `cmd:"" help:"Accept a disabled key again."`
	Revoke  keysRevokeCmd  `cmd:"" help:"Refuse a key for ever."`
	Pem     keysPemCmd     `cmd:"" help:"Print an ed25519 key string as PEM, for JWT libraries."`
	Audit   keysAuditCmd   `cmd:"" help:"List what was changed, and who was refused, oldest first."`
	Rewrap  keysRewrapCmd  `cmd:"" help:"Seal every hs256 key anew, after MASTER_KEY was changed."`
}

// keyArg is the key that a verb is about.
type keyArg struct {
	ID string `arg:"" help:"The id of the key, 12 characters; not its key string."`
}

// cliActor is who the audit says it was: the command line, and where others have their address, who called it.
func cliActor() keys.Actor { return keys.Actor{Key: "cli", Address: operator()} }

// administration is what the verbs work on: the store, and a keyring as the server has one, which changes it.
type administration struct {
	store   *store.Store
	keyring *keys.Keyring
}

// administrate opens the store that is there for the time of do, to change keys in it. sealed says that hs256 keys are
// made or opened, which takes the master key: whoever does not need it, is not stopped by one that is wrong.
func (r *command) administrate(sealed bool, do func(administration) error) error {
	return r.withStore(store.Options{Existing: true}, sealed, do)
}

// look opens the store that is there for the time of do, to read in it.
func (r *command) look(do func(administration) error) error {
	return r.withStore(store.Options{Reading: true}, false, do)
}

// withStore opens the store as how says, for the time of do.
func (r *command) withStore(how store.Options, sealed bool, do func(administration) error) (err error) {
	src := r.sources
	src.Only = []string{"APP_ENV", "DATABASE_URL"}
	if sealed {
		src.Only = append(src.Only, "MASTER_KEY", "MASTER_KEY_PREVIOUS")
	}
	loaded, err := configs.LoadAndValidate(src)
	if err != nil {
		return err
	}
	options := storeOptions(loaded.Config)
	options.Existing, options.Reading = how.Existing, how.Reading
	opened, err := store.Open(r.ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	r.sayMigrations(opened.Migrations())
	keyring, err := newKeyring(loaded.Config, opened, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	return do(administration{opened, keyring})
}

type keysCreateCmd struct {
	Client  string         `help:"Whom the key is for; required." placeholder:"NAME"`
	Scope   []string       `help:"What the key may do; required, can be repeated." placeholder:"SCOPE" sep:"none"`
	Kind    string         `help:"ed25519, or hs256, which any JWT library can sign with, and which needs MASTER_KEY. Default: ed25519." placeholder:"KIND"`
	Rate    *float64       `help:"Requests a second, 0.001 to 1000000. Default: no limit." placeholder:"NUMBER"`
	Burst   *int           `help:"Requests at once, 1 to 1000000; needs a rate. Default: the rate, rounded up." placeholder:"NUMBER"`
	Expires *time.Duration `help:"For how long the key is accepted, such as 2160h. Default: for ever." placeholder:"DURATION"`
}

// Help is what --help adds.
func (keysCreateCmd) Help() string {
	return "The scopes are " + strings.Join(keys.EveryScope().Names(), ", ") + ". Only the key string goes to standard output, so that " +
		"KEY=$(latchkey keys create ...) holds it and nothing more."
}

// Run makes a key.
func (c keysCreateCmd) Run(r *command, all *keysCmd) error {
	return r.withStore(store.Options{}, keystring.Kind(c.Kind) == keystring.HS256, func(a administration) error {
		request := keys.Request{Client: c.Client, Scopes: c.Scope, Kind: c.Kind, Rate: c.Rate, Burst: c.Burst}
		if c.Expires != nil {
			request.ExpiresAt = new(time.Now().Add(*c.Expires))
		}
		record, text, err := a.keyring.Create(r.ctx, cliActor(), request)
		if err != nil {
			return sentence(err, "")
		}
		made := handlers.NewKey{Key: handlers.KeyOf(record), Secret: text.Reveal()}
		if !all.JSON {
			r.say("Made key %s", inWords(made.Key))
		}
		return r.printSecret(all.JSON, made, made.Key.ID, made.Secret)
	})
}

type keysRotateCmd struct {
	keyArg

	Grace time.Duration `help:"For how long the old key goes on being accepted, 0s to 720h; 0s for a leak." default:"24h" placeholder:"DURATION"`
}

// Help is what --help adds.
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

// setState changes the state of a key and says what it is now.
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

type keysRewrapCmd struct{}

// Help is what --help adds.
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

// refusal is sentence that looks at the key to say why it could not be changed.
func (a administration) refusal(ctx context.Context, err error, id string) error {
	if fault.CodeOf(err) != fault.Conflict {
		return sentence(err, id)
	}
	record, readErr := a.store.Key(ctx, id)
	switch {
	case readErr != nil:
		return sentence(readErr, id)
	case record.State == keys.Revoked && record.RotatedTo != "":
		return fmt.Errorf("key %s is revoked, which is final; its successor is %s", id, record.RotatedTo)
	case record.State == keys.Revoked:
		return fmt.Errorf("key %s is revoked, which is final: make a new key instead", id)
	case record.RotatedTo != "":
		return fmt.Errorf("key %s has a successor already: %s", id, record.RotatedTo)
	case record.Expired(time.Now()):
		return fmt.Errorf("key %s expired at %s: make a new key instead", id, handlers.KeyOf(record).ExpiresAt)
	default:
		return fmt.Errorf("key %s was changed at the same time: try again", id)
	}
}
