package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/latchkey-api/latchkey/app"
	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// keysCmd manages the registered keys. It opens the store itself and needs neither a server nor a key, so it can make the
// first key of an administrator.
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

// keyArg is the key to show or to change.
type keyArg struct {
	ID string `arg:"" help:"The id of the key, 12 characters; not its key string."`
}

// cliActor is the actor in the audit: "cli", and in place of an address the user and the machine.
func cliActor() keys.Actor { return keys.Actor{Key: "cli", Address: operator()} }

// administration is an open store, and a keyring that changes keys as the server does.
type administration struct {
	store   *store.Store
	keyring *keys.Keyring
}

// administrate opens an existing store and runs do, which may change keys. sealed is true when do seals or opens hs256
// keys: only then is MASTER_KEY read, so that a wrong one does not stop other commands.
func (r *command) administrate(sealed bool, do func(administration) error) error {
	return r.withStore(store.Options{Existing: true}, sealed, do)
}

// look opens an existing store for reading and runs do.
func (r *command) look(do func(administration) error) error {
	return r.withStore(store.Options{Reading: true}, false, do)
}

// withStore opens the store with the options in how and runs do.
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
	options := app.StoreOptions(loaded.Config)
	options.Existing, options.Reading = how.Existing, how.Reading
	opened, err := store.Open(r.ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	r.sayMigrations(opened.Migrations())
	keyring, err := app.NewKeyring(loaded.Config, opened, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	return do(administration{opened, keyring})
}

// refusal is like sentence. For a conflict, it reads the key to say why it could not be changed.
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
