package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/latchkey-api/latchkey/app"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

type restoreCmd struct {
	File   string `arg:"" help:"The backup; - reads it from standard input."`
	Revive bool   `help:"Take the keys of the backup, too, where the store is gone or damaged. Keys that were revoked since are accepted again, keys that were made since are lost."`
}

// Help is shown by --help, below the usage.
func (restoreCmd) Help() string {
	return "Stop the server first. Keys and the audit stay those of the store that was there before, so that no key is accepted again " +
		"that was revoked since the backup; everything else is the backup's. Interrupted, it leaves the old store or the new one."
}

// Run restores a backup.
func (c restoreCmd) Run(r *command) error {
	loaded, err := r.loadStore()
	if err != nil {
		return err
	}
	event := keys.Event{At: time.Now(), Actor: cliActor(), Action: keys.ActionRestore, Count: 1}
	if c.Revive {
		event.Action = keys.ActionRevive
	}
	backed := store.Backed{File: c.File, Revive: c.Revive, Event: event}
	if c.File == "-" {
		backed.Input = interruptible(r.ctx, os.Stdin)
	}
	done, err := store.Restore(r.ctx, app.StoreOptions(loaded.Config), backed)
	if err != nil {
		return err
	}
	if done.Copied {
		r.say("The backup was not made by latchkey backup. It is the copy of a store: what was in a log beside that store is not in it.")
	}
	r.sayMigrations(done.Migrations)
	switch {
	case !c.Revive:
		r.say("The backup is restored. Keys and the audit are those of the store before.")
		if done.LeftOut > 0 {
			r.say("Keys of the backup that the store before never had, and that were left out: %d. With --revive they are taken.", done.LeftOut)
		}
	case len(done.Revived) == 0:
		r.say("The backup is restored with its keys. None is enabled by it.")
	default:
		r.say("The backup is restored with its keys. These are enabled by it; revoke those that should not be:")
	}
	for _, record := range done.Revived {
		r.say("  %s", inWords(handlers.KeyOf(record)))
	}
	return nil
}

// interruptible is input until ctx ends: a person who was to type something may interrupt instead.
func interruptible(ctx context.Context, input io.Reader) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		_, err := io.Copy(writer, input)
		_ = writer.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { _ = writer.CloseWithError(errors.New("interrupted")) })
	return reader
}
