package cli

import (
	"github.com/latchkey-api/latchkey/app"
	"github.com/latchkey-api/latchkey/store"
)

type migrateCmd struct{}

// Run migrates the store.
func (migrateCmd) Run(r *command) error {
	loaded, err := r.loadStore()
	if err != nil {
		return err
	}
	applied, err := store.Migrate(r.ctx, app.StoreOptions(loaded.Config))
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		r.say("The schema is up to date.")
	}
	for _, name := range applied {
		r.say("Applied %s.", name)
	}
	return nil
}
