package cli

import (
	"errors"
	"time"

	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

type keysListCmd struct {
	Client string `help:"Only keys of this client." placeholder:"NAME"`
	State  string `help:"Only keys in this state: enabled, disabled or revoked." placeholder:"STATE"`
}

// Run prints the keys.
func (c keysListCmd) Run(r *command, all *keysCmd) error {
	filter := store.KeyFilter{Client: c.Client, State: keys.State(c.State)}
	if filter.State != "" && !filter.State.Known() {
		return errors.New("--state must be enabled, disabled or revoked")
	}
	return r.look(func(a administration) error {
		rows, _, err := pages(0, func(page store.Page) ([]store.ListedKey, store.Cursor, error) {
			return a.store.Keys(r.ctx, filter, page)
		})
		if err != nil {
			return sentence(err, "")
		}
		now := time.Now()
		list := make([]handlers.ListedKey, 0, len(rows))
		for _, row := range rows {
			list = append(list, handlers.Listed(row, now))
		}
		switch {
		case all.JSON:
			return r.printJSON(list)
		case len(list) == 0:
			r.say("There are no such keys.")
			return nil
		default:
			return r.printKeys(list, now)
		}
	})
}
