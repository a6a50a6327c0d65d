package store

import (
	"context"
	"fmt"
)

// A demo account is inserted if neither its id nor its username is taken. A demo storyspace is inserted only for the demo account:
// a user who has registered the same username does not get it.
const (
	insertDemoAccount = `INSERT INTO accounts (` + accountColumns + `) VALUES ($1, $2, '', '', '', '')
		ON CONFLICT DO NOTHING`

	insertDemoStoryspace = `INSERT INTO storyspaces (id, account_id, name)
		SELECT $1, id, $2 FROM accounts WHERE id = $3 AND username = $4 ON CONFLICT DO NOTHING`
)

// InsertDemo inserts the missing rows of the documentation's examples, in one transaction. It changes and deletes nothing.
func (s *Store) InsertDemo(ctx context.Context) error {
	accounts := []Account{{ID: "2112", Username: "stevenm"}, {ID: "2113", Username: "foobar"}}
	storyspaces := []struct {
		row   Storyspace
		owner Account
	}{
		{Storyspace{ID: "1", Name: "barfood"}, accounts[0]},
		{Storyspace{ID: "2", Name: "bazbars"}, accounts[0]},
		{Storyspace{ID: "2113", Name: "barfood"}, accounts[1]},
	}
	return s.fault(s.writer.transaction(ctx, func(ctx context.Context, tx transaction) error {
		for _, a := range accounts {
			if _, err := tx.exec(ctx, insertDemoAccount, a.ID, a.Username); err != nil {
				return fmt.Errorf("demo account %s: %w", a.ID, err)
			}
		}
		for _, d := range storyspaces {
			_, err := tx.exec(ctx, insertDemoStoryspace, d.row.ID, d.row.Name, d.owner.ID, d.owner.Username)
			if err != nil {
				return fmt.Errorf("demo storyspace %s: %w", d.row.ID, err)
			}
		}
		return nil
	}))
}
