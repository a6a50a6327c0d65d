package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

const (
	eventColumns = `at, actor, request_id, address, action, target, count`

	// All rows in one statement, because on PostgreSQL the audit is locked from its beginning to the end of the
	// transaction. In every engine json_each gives the members of an object as key and value.
	insertEvents = `INSERT INTO audit (` + eventColumns + `)
		SELECT CAST(value ->> 'at' AS BIGINT), value ->> 'actor', value ->> 'request_id', value ->> 'address',
			value ->> 'action', value ->> 'target', CAST(value ->> 'count' AS BIGINT)
		FROM json_each($1) ORDER BY CAST(key AS BIGINT)`

	eventPage = `SELECT seq, ` + eventColumns + ` FROM audit WHERE seq > $1`

	selectEvents = eventPage + oldestFirst

	// Times need not rise with seq: clocks differ, and refusals are written late. The first row is therefore looked up in
	// the index of times. The 0 that is added keeps the engines from walking over all that is older to find it.
	selectEventsSince = `SELECT seq, ` + eventColumns + ` FROM audit
		WHERE seq >= (SELECT min(seq + 0) FROM audit WHERE at >= $3 AND seq > $1) AND at >= $3` + oldestFirst

	// What a key did and what was done to it; each half has its index.
	selectEventsOf = eventPage + ` AND target = $3 AND at >= $4
		UNION ALL ` + eventPage + ` AND actor = $3 AND target <> $3 AND at >= $4` + oldestFirst

	deleteEvents = `DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at < $1 ORDER BY at LIMIT $2)`
)

// pruneStep is how many rows PruneEvents removes at once; between two steps others may write.
const pruneStep = 1000

// AuditFilter says which rows of the audit a list has. An empty field matches every row.
type AuditFilter struct {
	// Key matches what the key did and what was done to it.
	Key string
	// Since matches what happened then or later.
	Since time.Time
}

// Audit lists the rows of the audit, the oldest first, in the order in which they were written, and gives the place
// where the next page begins, zero when there is none. The list may be empty, it is never nil.
func (s *Store) Audit(ctx context.Context, filter AuditFilter, page Page) ([]keys.Event, Cursor, error) {
	if !storable(filter.Key) {
		return []keys.Event{}, Cursor{}, nil
	}
	since := micros(filter.Since)
	switch {
	case filter.Key != "":
		return list(ctx, s, ListAudit, page, scanEvent, selectEventsOf, filter.Key, since)
	case since != 0:
		return list(ctx, s, ListAudit, page, scanEvent, selectEventsSince, since)
	default:
		return list(ctx, s, ListAudit, page, scanEvent, selectEvents)
	}
}

// AppendEvents adds rows to the audit, all or none. Invalid when a text cannot be stored.
func (s *Store) AppendEvents(ctx context.Context, events []keys.Event) error {
	if len(events) == 0 {
		return nil
	}
	if !storableEvents(events...) {
		return fault.New(fault.Invalid)
	}
	rows, err := eventRows(events...)
	if err != nil {
		return s.fault(err)
	}
	_, err = s.write(ctx, insertEvents, rows)
	return err
}

// PruneEvents removes the rows of the audit that are older than before. It takes many short transactions: when it
// fails, what is gone by then stays gone.
func (s *Store) PruneEvents(ctx context.Context, before time.Time) error {
	for {
		removed, err := s.write(ctx, deleteEvents, micros(before), pruneStep)
		if err != nil || removed < pruneStep {
			return err
		}
	}
}

// eventRows is the argument of insertEvents: an object, whose members are numbered in the order of the rows.
func eventRows(events ...keys.Event) (string, error) {
	type row struct {
		At        int64  `json:"at"`
		Actor     string `json:"actor"`
		RequestID string `json:"request_id"`
		Address   string `json:"address"`
		Action    string `json:"action"`
		Target    string `json:"target"`
		Count     int    `json:"count"`
	}
	rows := make(map[int]row, len(events))
	for i, e := range events {
		rows[i] = row{micros(e.At), e.Actor.Key, e.Actor.RequestID, e.Actor.Address, e.Action, e.Target, e.Count}
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

func scanEvent(from scanner, seq *int64) (e keys.Event, err error) {
	var at int64
	err = from.Scan(seq, &at, &e.Actor.Key, &e.Actor.RequestID, &e.Actor.Address, &e.Action, &e.Target, &e.Count)
	e.At = fromMicros(at)
	return e, err
}

func storableEvents(events ...keys.Event) bool {
	for _, e := range events {
		if !storable(e.Actor.Key, e.Actor.RequestID, e.Actor.Address, e.Action, e.Target) {
			return false
		}
	}
	return true
}
