package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/latchkey-api/latchkey/fault"
)

// Storyspace is a row of storyspaces.
type Storyspace struct {
	ID, Name string
}

const (
	selectStoryspace = `SELECT id, name FROM storyspaces WHERE id = $1`

	selectStoryspaces = `SELECT s.seq, s.id, s.name FROM storyspaces s JOIN accounts a ON a.id = s.account_id
		WHERE a.username = $1 AND s.seq > $2 ORDER BY s.seq LIMIT $3`

	insertStoryspace = `INSERT INTO storyspaces (id, account_id, name)
		SELECT $1, id, $2 FROM accounts WHERE username = $3`
)

// Storyspaces lists the storyspaces of a user, the oldest first, and gives the place where the next page begins, zero
// when there is none. The list is empty, never nil, for a user with none and for an unknown one.
func (s *Store) Storyspaces(ctx context.Context, username string, page Page) ([]Storyspace, Cursor, error) {
	if page.Limit < 1 {
		return nil, Cursor{}, fault.Wrap(fault.Internal, fmt.Errorf("a page of %d rows", page.Limit))
	}
	found := []Storyspace{}
	if !storable(username) {
		return found, Cursor{}, nil
	}
	var next Cursor
	err := s.read(ctx, selectStoryspaces, func(ctx context.Context, stmt *sql.Stmt) error {
		// One row more than asked for tells whether there is a next page.
		rows, err := stmt.QueryContext(ctx, username, page.After.seq, page.Limit+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		var last Cursor
		for rows.Next() {
			if len(found) == page.Limit {
				next = last
				break
			}
			var row Storyspace
			if err := rows.Scan(&last.seq, &row.ID, &row.Name); err != nil {
				return err
			}
			found = append(found, row)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, Cursor{}, err
	}
	return found, next, nil
}

// Storyspace finds a storyspace by its id. NotFound without one.
func (s *Store) Storyspace(ctx context.Context, id string) (found Storyspace, err error) {
	if !storable(id) {
		return Storyspace{}, fault.New(fault.NotFound)
	}
	err = s.read(ctx, selectStoryspace, func(ctx context.Context, stmt *sql.Stmt) error {
		return stmt.QueryRowContext(ctx, id).Scan(&found.ID, &found.Name)
	})
	return found, err
}

// CreateStoryspace begins a storyspace of a user and gives it back with its id. A user may have many of one name.
// NotFound for an unknown user, Invalid when the name cannot be stored.
func (s *Store) CreateStoryspace(ctx context.Context, username, name string) (Storyspace, error) {
	if !storable(username) {
		return Storyspace{}, fault.New(fault.NotFound)
	}
	if !storable(name) {
		return Storyspace{}, fault.New(fault.Invalid)
	}
	row := Storyspace{ID: newID(), Name: name}
	inserted, err := s.insert(ctx, insertStoryspace, row.ID, row.Name, username)
	if err != nil {
		return Storyspace{}, err
	}
	if inserted == 0 {
		return Storyspace{}, fault.New(fault.NotFound)
	}
	return row, nil
}
