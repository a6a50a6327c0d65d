package cli

import (
	"github.com/latchkey-api/latchkey/handlers"
)

type keysShowCmd struct{ keyArg }

// Run shows a key.
func (c keysShowCmd) Run(r *command, all *keysCmd) error {
	if err := checkID(c.ID); err != nil {
		return err
	}
	return r.look(func(a administration) error {
		record, err := a.store.Key(r.ctx, c.ID)
		if err != nil {
			return sentence(err, c.ID)
		}
		if all.JSON {
			return r.printJSON(handlers.KeyOf(record))
		}
		return r.printKey(handlers.KeyOf(record))
	})
}
