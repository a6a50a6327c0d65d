package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/latchkey-api/latchkey/keys"
)

//nolint:unqueryvet // see the next line
const (
	// Both databases have the same schema, and so the same columns.
	keepAudit = `DELETE FROM restored.audit; INSERT INTO restored.audit SELECT * FROM main.audit;`
	keepKeys  = `DELETE FROM restored.keys; INSERT INTO restored.keys SELECT * FROM main.keys;`

	// The version of keys and the row numbers never decrease, whatever was removed since.
	keepNumbers = `UPDATE restored.key_version SET value = max(value, (SELECT value FROM main.key_version));
		INSERT INTO restored.sqlite_sequence (name, seq) SELECT name, seq FROM main.sqlite_sequence m WHERE name IN ('keys', 'audit')
			AND NOT EXISTS (SELECT 1 FROM restored.sqlite_sequence r WHERE r.name = m.name);
		UPDATE restored.sqlite_sequence SET seq = max(seq, coalesce((SELECT m.seq FROM main.sqlite_sequence m
			WHERE m.name = restored.sqlite_sequence.name), 0)) WHERE name IN ('keys', 'audit');`

	countUnknown = `SELECT count(*) FROM restored.keys WHERE id NOT IN (SELECT id FROM main.keys)`
)

// keep copies what a restore keeps into the store at path: the audit, and without revive the keys. It counts the keys of the
// backup that are lost by that.
func (c *current) keep(ctx context.Context, path string, revive bool) (leftOut int, err error) {
	if _, err := c.conn.ExecContext(ctx, "ATTACH $1 AS restored", path); err != nil {
		return 0, err
	}
	var old, restored int64
	const versions = `SELECT (SELECT max(version_id) FROM main.goose_db_version), (SELECT max(version_id) FROM restored.goose_db_version)`
	if err := c.conn.QueryRowContext(ctx, versions).Scan(&old, &restored); err != nil {
		return 0, err
	}
	if old != restored {
		return 0, fmt.Errorf("the store has a schema of version %d, and the backup one of %d, which this version of latchkey cannot combine: "+
			"restore with the newest latchkey that has used either; the store stays as it was", old, restored)
	}
	kept := keepNumbers
	if !revive {
		if err := c.conn.QueryRowContext(ctx, countUnknown).Scan(&leftOut); err != nil {
			return 0, err
		}
		kept += keepKeys
	}
	accepted, err := acceptedKeys(ctx, c.conn)
	if err != nil {
		return 0, err
	}
	c.enabled = make(map[string]bool, len(accepted))
	for _, r := range accepted {
		c.enabled[r.ID] = true
	}
	if _, err := c.conn.ExecContext(ctx, "BEGIN;"+keepAudit+kept+"COMMIT"); err != nil { //nolint:unqueryvet // see there
		return 0, err
	}
	_, err = c.conn.ExecContext(ctx, "DETACH restored")
	return leftOut, err
}

// queryer is a database, or one connection to it.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// acceptedKeys are the keys that are enabled and not expired, oldest first.
func acceptedKeys(ctx context.Context, db queryer) (accepted []keys.Record, err error) {
	rows, err := db.QueryContext(ctx, `SELECT `+keyColumns+` FROM main.keys WHERE state = 'enabled' ORDER BY seq`)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	accepted, err = scanKeys(rows)
	return slices.DeleteFunc(accepted, func(r keys.Record) bool { return r.Expired(now) }), err
}
