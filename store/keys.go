package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

var _ keys.Store = (*Store)(nil)

const (
	keyColumns = `id, client, kind, environment, scopes, rate, burst, state, hint, material, rotated_to, rotated_from,
		created_at, expires_at, last_used_at, version, level`

	selectKey = `SELECT ` + keyColumns + ` FROM keys WHERE id = $1`

	// json_each reads the ids from one JSON object, on both engines.
	selectKeysByID = `SELECT ` + keyColumns + ` FROM keys WHERE id IN (SELECT key FROM json_each($1))`

	// One statement reads one moment on every engine. Each row has the version and the epoch, and beside them a key that has
	// changed. If no key has, there is one row, and its key is NULL.
	selectKeyChanges = `SELECT current.value, (SELECT turn FROM fleet), (SELECT began FROM store_clock), changed.*
		FROM key_version AS current LEFT JOIN (
			SELECT CASE changed_at WHEN 0 THEN -1 ELSE ` + clock + ` - changed_at END AS age, ` + keyColumns + `
			FROM keys WHERE version > $1 ORDER BY version LIMIT $2
		) AS changed ON true`

	selectSealedKeys = `SELECT id FROM keys WHERE kind = 'hs256' ORDER BY seq`

	selectSealedInUse = `SELECT ` + keyColumns + ` FROM keys WHERE kind = 'hs256' AND state <> 'revoked' ORDER BY seq DESC LIMIT $1`

	selectUsableKey = `SELECT EXISTS (SELECT 1 FROM keys WHERE state = 'enabled' AND (expires_at = 0 OR expires_at > $1))`

	// json_each reads a JSON object of times by key id, on both engines.
	updateLastUsed = `UPDATE keys SET last_used_at = used.at
		FROM (SELECT key AS id, CAST(CAST(value AS TEXT) AS BIGINT) AS at FROM json_each($1)) AS used
		WHERE keys.id = used.id AND keys.last_used_at < used.at`
)

// Pages of keys, oldest first.
//
//nolint:gochecknoglobals // made before main begins
var (
	selectKeys                = paged(keyRows, walk{})
	selectKeysOfClient        = paged(keyRows, walk{equal: []equal{{`client`, `$3`}}})
	selectKeysInState         = paged(keyRows, walk{equal: []equal{{`state`, `$3`}}})
	selectKeysOfClientInState = paged(keyRows, walk{equal: []equal{{`client`, `$3`}, {`state`, `$4`}}})
)

// keyRows are keys, each with the time its successor was created, or 0.
const keyRows = `SELECT seq,
	CASE rotated_to WHEN '' THEN 0 ELSE
		coalesce((SELECT created_at FROM keys AS successor WHERE successor.id = keys.rotated_to), 0)
	END, ` + keyColumns + ` FROM keys`

var errNoVersion = errors.New("the table key_version has no row")

// Key finds a key by its id. NotFound without one.
func (s *Store) Key(ctx context.Context, id string) (found keys.Record, err error) {
	if !storable(id) {
		return keys.Record{}, fault.New(fault.NotFound)
	}
	err = s.read(ctx, selectKey, func(ctx context.Context, stmt statement) error {
		found, err = scanKey(stmt.QueryRowContext(ctx, id))
		return err
	})
	return found, err
}

// KeysByID finds the keys with these ids, in any order, with one query. The callers are not authenticated yet, so it uses at
// most half of the connections for reading.
func (s *Store) KeysByID(ctx context.Context, ids []string) ([]keys.Record, error) {
	wanted := make(map[string]int, len(ids))
	for _, id := range ids {
		if storable(id) {
			wanted[id] = 0
		}
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return nil, s.fault(err)
	}
	var found []keys.Record
	err = s.keyLookups.run(ctx, selectKeysByID, func(ctx context.Context, stmt statement) error {
		rows, err := stmt.QueryContext(ctx, string(text))
		if err != nil {
			return err
		}
		found, err = scanKeys(rows)
		return err
	})
	if err != nil {
		return nil, s.fault(err)
	}
	return found, nil
}

// KeyFilter says which keys a list has. An empty field matches every key.
type KeyFilter struct {
	Client string
	State  keys.State
}

// ListedKey is a key in a list.
type ListedKey struct {
	keys.Record

	// SuccessorCreatedAt is zero for a key that was not rotated.
	SuccessorCreatedAt time.Time
}

// Keys lists keys, oldest first, and returns the cursor of the next page, zero when there is none. The list may be empty,
// never nil.
func (s *Store) Keys(ctx context.Context, filter KeyFilter, page Page) ([]ListedKey, Cursor, error) {
	client, state := filter.Client, string(filter.State)
	if !storable(client, state) {
		return []ListedKey{}, Cursor{}, nil
	}
	var query pagedQuery
	var args []any
	switch {
	case client != "" && state != "":
		query, args = selectKeysOfClientInState, []any{client, state}
	case client != "":
		query, args = selectKeysOfClient, []any{client}
	case state != "":
		query, args = selectKeysInState, []any{state}
	default:
		query = selectKeys
	}
	return list(ctx, s, ListKeys, page, scanListedKey, query, args...)
}

// HasKeys reports whether any registered key could authenticate now: it is enabled and not expired.
func (s *Store) HasKeys(ctx context.Context) (has bool, err error) {
	err = s.read(ctx, selectUsableKey, func(ctx context.Context, stmt statement) error {
		return stmt.QueryRowContext(ctx, micros(time.Now())).Scan(&has)
	})
	return has, err
}

// KeyChanges reads the version of keys, the epoch of the fleet, and the keys whose version is above since, all as of one
// moment. More than most keys are TooMany.
func (s *Store) KeyChanges(ctx context.Context, since int64, most int) (changes keys.Changes, err error) {
	err = s.read(ctx, selectKeyChanges, func(ctx context.Context, stmt statement) error {
		rows, err := stmt.QueryContext(ctx, since, most+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		found := false
		for rows.Next() {
			found = true
			if err := scanChanges(rows, &changes); err != nil {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if !found {
			return fault.Wrap(fault.Internal, errNoVersion)
		}
		return nil
	})
	if err != nil {
		return keys.Changes{}, err
	}
	if changes.TooMany = len(changes.Keys) > most; changes.TooMany {
		changes.Keys = nil
	}
	return changes, nil
}

// scanChanges reads the current row of selectKeyChanges. The first Scan tells whether it has a key, the second one reads it.
func scanChanges(row scanner, changes *keys.Changes) error {
	var began int64
	var age sql.NullInt64
	state := []any{&changes.Version, &changes.Epoch, &began, &age}
	if err := row.Scan(append(state, unread...)...); err != nil {
		return err
	}
	changes.ServerStarted = fromMicros(began)
	if !age.Valid {
		return nil
	}
	r, err := scanKey(row, state...)
	if err != nil {
		return err
	}
	changes.Keys = append(changes.Keys, keys.Change{Record: r, Age: time.Duration(age.Int64) * time.Microsecond})
	return nil
}

// unread stands for keyColumns in a Scan that does not read them.
//
//nolint:gochecknoglobals // made before main begins
var unread = slices.Repeat([]any{unreadColumn{}}, 1+strings.Count(keyColumns, ","))

type unreadColumn struct{}

// Scan ignores the value.
func (unreadColumn) Scan(any) error { return nil }

// SealedKeys lists the ids of all hs256 keys, the oldest first.
func (s *Store) SealedKeys(ctx context.Context) ([]string, error) {
	var ids []string
	err := s.read(ctx, selectSealedKeys, func(ctx context.Context, stmt statement) error {
		rows, err := stmt.QueryContext(ctx)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// SealedInUse returns the newest hs256 keys that are not revoked, at most so many.
func (s *Store) SealedInUse(ctx context.Context, most int) ([]keys.Record, error) {
	var found []keys.Record
	err := s.read(ctx, selectSealedInUse, func(ctx context.Context, stmt statement) error {
		rows, err := stmt.QueryContext(ctx, most)
		if err != nil {
			return err
		}
		found, err = scanKeys(rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// TouchKeys records when keys were last used, all or none. It ignores unknown keys, and times that are not later than the
// stored one. The version of keys stays.
func (s *Store) TouchKeys(ctx context.Context, used map[string]time.Time) error {
	rows := make(map[string]int64, len(used))
	for id, at := range used {
		if storable(id) {
			rows[id] = micros(at)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	// Instances that write the same keys mostly lock them in the same order. After a deadlock, one of them retries.
	text, err := json.Marshal(rows)
	if err != nil {
		return s.fault(err)
	}
	_, err = s.write(ctx, updateLastUsed, string(text))
	return err
}

// scanKeys reads all rows of keyColumns, and closes them.
func scanKeys(rows *sql.Rows) (found []keys.Record, err error) {
	defer rows.Close()
	for rows.Next() {
		r, err := scanKey(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// scanKey reads a row of keyColumns; before are the destinations of the columns before them.
func scanKey(from scanner, before ...any) (keys.Record, error) {
	var r keys.Record
	var scopes string
	var created, expires, lastUsed int64
	err := from.Scan(append(before, &r.ID, &r.Client, &r.Kind, &r.Environment, &scopes, &r.Rate, &r.Burst, &r.State,
		&r.Hint, &r.Material, &r.RotatedTo, &r.RotatedFrom, &created, &expires, &lastUsed, &r.Version, &r.Level)...)
	if err != nil {
		return keys.Record{}, err
	}
	for name := range strings.FieldsSeq(scopes) {
		r.Scopes = append(r.Scopes, keys.Scope(name))
	}
	r.CreatedAt, r.ExpiresAt, r.LastUsedAt = fromMicros(created), fromMicros(expires), fromMicros(lastUsed)
	return r, nil
}

func scanListedKey(from scanner, seq *int64) (key ListedKey, err error) {
	var successor int64
	key.Record, err = scanKey(from, seq, &successor)
	key.SuccessorCreatedAt = fromMicros(successor)
	return key, err
}

// keyArgs are the values of keyColumns.
func keyArgs(r *keys.Record) []any {
	return []any{
		r.ID, r.Client, r.Kind, r.Environment, scopeText(r), r.Rate, r.Burst, r.State,
		r.Hint, r.Material, r.RotatedTo, r.RotatedFrom,
		micros(r.CreatedAt), micros(r.ExpiresAt), micros(r.LastUsedAt), r.Version, r.Level,
	}
}

// scopeText is how the scopes of a key are stored.
func scopeText(r *keys.Record) string {
	names := make([]string, len(r.Scopes))
	for i, s := range r.Scopes {
		names[i] = string(s)
	}
	return strings.Join(names, " ")
}

func storableKey(r *keys.Record) bool {
	return storable(scopeText(r), r.ID, r.Client, string(r.Kind), string(r.Environment), string(r.State), r.Hint, r.RotatedTo, r.RotatedFrom)
}

// micros is how a time is stored: whole microseconds since 1970, 0 for never.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
