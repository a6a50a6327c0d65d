package store

import (
	"context"

	"github.com/latchkey-api/latchkey/fault"
)

// Account is a row of accounts. Optional columns are "" if not set.
type Account struct {
	ID, Username, Email, FirstName, LastName, AvatarURL string
}

const (
	accountColumns = `id, username, email, first_name, last_name, avatar_url`

	selectAccountByUsername = `SELECT ` + accountColumns + ` FROM accounts WHERE username = $1`
	selectAccountByID       = `SELECT ` + accountColumns + ` FROM accounts WHERE id = $1`
	insertAccount           = `INSERT INTO accounts (` + accountColumns + `) VALUES ($1, $2, $3, $4, $5, $6)`
)

// AccountByUsername finds an account by its username, compared byte by byte. NotFound without one.
func (s *Store) AccountByUsername(ctx context.Context, username string) (Account, error) {
	return s.account(ctx, selectAccountByUsername, username)
}

// AccountByID finds an account by its id. NotFound without one.
func (s *Store) AccountByID(ctx context.Context, id string) (Account, error) {
	return s.account(ctx, selectAccountByID, id)
}

// CreateAccount stores a new account and returns it, with a new id if a.ID is "". Conflict if the username or the id is taken,
// Invalid if a text cannot be stored.
func (s *Store) CreateAccount(ctx context.Context, a Account) (Account, error) {
	if !storable(a.ID, a.Username, a.Email, a.FirstName, a.LastName, a.AvatarURL) {
		return Account{}, fault.New(fault.Invalid)
	}
	if a.ID == "" {
		a.ID = newID()
	}
	_, err := s.write(ctx, insertAccount, a.ID, a.Username, a.Email, a.FirstName, a.LastName, a.AvatarURL)
	if err != nil {
		return Account{}, err
	}
	return a, nil
}

func (s *Store) account(ctx context.Context, query, key string) (a Account, err error) {
	if !storable(key) {
		return Account{}, fault.New(fault.NotFound)
	}
	err = s.read(ctx, query, func(ctx context.Context, stmt statement) error {
		return stmt.QueryRowContext(ctx, key).
			Scan(&a.ID, &a.Username, &a.Email, &a.FirstName, &a.LastName, &a.AvatarURL)
	})
	return a, err
}
