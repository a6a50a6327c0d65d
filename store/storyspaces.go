package store

import (
	"context"

	"github.com/latchkey-api/latchkey/fault"
)

// Storyspace is a row of storyspaces.
type Storyspace struct {
	ID, Name string
}

const (
	selectStoryspace = `SELECT id, name FROM storyspaces WHERE id = $1`

	insertStoryspace = `INSERT INTO storyspaces (id, account_id, name)
		SELECT $1, id, $2 FROM accounts WHERE username = $3`
)

// Pages of a user's storyspaces, oldest first.
//
//nolint:gochecknoglobals // made before main begins
var selectStoryspaces = paged(`SELECT seq, id, name FROM storyspaces`,
	walk{equal: []equal{{`account_id`, `(SELECT id FROM accounts WHERE username = $3)`}}})

// Storyspaces lists a user's storyspaces, oldest first, and returns the cursor of the next page, zero if there is none. For a user
// without storyspaces and for an unknown user the list is empty, never nil.
func (s *Store) Storyspaces(ctx context.Context, username string, page Page) ([]Storyspace, Cursor, error) {
	if !storable(username) {
		return []Storyspace{}, Cursor{}, nil
	}
	return list(ctx, s, ListStoryspaces, page, scanStoryspace, selectStoryspaces, username)
}

func scanStoryspace(from scanner, seq *int64) (found Storyspace, err error) {
	err = from.Scan(seq, &found.ID, &found.Name)
	return found, err
}

// Storyspace finds a storyspace by its id. NotFound without one.
func (s *Store) Storyspace(ctx context.Context, id string) (found Storyspace, err error) {
	if !storable(id) {
		return Storyspace{}, fault.New(fault.NotFound)
	}
	err = s.read(ctx, selectStoryspace, func(ctx context.Context, stmt statement) error {
		return stmt.QueryRowContext(ctx, id).Scan(&found.ID, &found.Name)
	})
	return found, err
}

// CreateStoryspace creates a storyspace of a user and returns it with its id. A user may have several of the same name. NotFound
// for an unknown user, Invalid if the name cannot be stored.
func (s *Store) CreateStoryspace(ctx context.Context, username, name string) (Storyspace, error) {
	if !storable(username) {
		return Storyspace{}, fault.New(fault.NotFound)
	}
	if !storable(name) {
		return Storyspace{}, fault.New(fault.Invalid)
	}
	row := Storyspace{ID: newID(), Name: name}
	inserted, err := s.write(ctx, insertStoryspace, row.ID, row.Name, username)
	if err != nil {
		return Storyspace{}, err
	}
	if inserted == 0 {
		return Storyspace{}, fault.New(fault.NotFound)
	}
	return row, nil
}
