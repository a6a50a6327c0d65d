package cli

import (
	"os/signal"
	"syscall"

	"github.com/latchkey-api/latchkey/app"
	"github.com/latchkey-api/latchkey/store"
)

type backupCmd struct {
	File string `arg:"" help:"The file to write, which must not exist; - writes to standard output."`
}

// Run copies the store.
func (b backupCmd) Run(r *command) error {
	loaded, err := r.loadStore()
	if err != nil {
		return err
	}
	if b.File == "-" {
		signal.Ignore(syscall.SIGPIPE) // so that the temporary copy is removed when the reader stops early
		return store.BackupTo(r.ctx, app.StoreOptions(loaded.Config), r.stdout)
	}
	if err := store.Backup(r.ctx, app.StoreOptions(loaded.Config), b.File); err != nil {
		return err
	}
	r.say("Wrote %s.", b.File)
	return nil
}
