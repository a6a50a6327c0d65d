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

	// All rows in one statement: on PostgreSQL the audit is locked from the statement to the end of its transaction. On both
	// engines json_each returns the members of an object as key and value.
	insertEvents = `INSERT INTO audit (` + eventColumns + `)
		SELECT CAST(value ->> 'at' AS BIGINT), value ->> 'actor', value ->> 'request_id', value ->> 'address',
			value ->> 'action', value ->> 'target', CAST(value ->> 'count' AS BIGINT)
		FROM json_each($1) ORDER BY CAST(key AS BIGINT)`

	deleteEvents = `DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at < $1 ORDER BY at LIMIT $2)`
)

// Pages of the audit. Without a time they are in the order of writing, so that following pages misses no row. With a time they
// are in the order of the times, which is another one: clocks differ, and refusals are written late.
//
//nolint:gochecknoglobals // made before main begins
var (
	selectEvents      = paged(events, walk{})
	selectEventsSince = paged(events, walk{since: `$3`})

	// What was done to a key, and by it.
	selectEventsOf      = paged(events, walk{equal: []equal{{`target`, `$3`}}}, walk{equal: []equal{{`actor`, `$3`}}})
	selectEventsOfSince = paged(events,
		walk{equal: []equal{{`target`, `$3`}}, since: `$4`}, walk{equal: []equal{{`actor`, `$3`}}, since: `$4`})
)

const events = `SELECT seq, ` + eventColumns + ` FROM audit`

// pruneStep is how many rows PruneEvents removes in one transaction, so that other writes come in between.
const pruneStep = 1000

// AuditFilter selects rows of the audit. An empty field matches every row.
type AuditFilter struct {
	// Key matches what was done to the key, and by it.
	Key string
	// Since matches this time and later ones.
	Since time.Time
}

// Audit lists rows of the audit, oldest first: in the order of writing, or with Since in the order of their times. It returns the
// cursor of the next page, zero if there is none. The list may be empty, never nil.
func (s *Store) Audit(ctx context.Context, filter AuditFilter, page Page) ([]keys.Event, Cursor, error) {
	if !storable(filter.Key) {
		return []keys.Event{}, Cursor{}, nil
	}
	since := micros(filter.Since)
	switch {
	case filter.Key != "" && since != 0:
		return list(ctx, s, ListAudit, page, scanEvent, selectEventsOfSince, filter.Key, since)
	case filter.Key != "":
		return list(ctx, s, ListAudit, page, scanEvent, selectEventsOf, filter.Key)
	case since != 0:
		return list(ctx, s, ListAudit, page, scanEvent, selectEventsSince, since)
	default:
		return list(ctx, s, ListAudit, page, scanEvent, selectEvents)
	}
}

// AppendEvents adds rows to the audit, all or none. It fails with Invalid if a text cannot be stored.
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

// PruneEvents removes rows that are older than before, in many short transactions. Rows removed before a failure stay removed.
func (s *Store) PruneEvents(ctx context.Context, before time.Time) error {
	for {
		removed, err := s.write(ctx, deleteEvents, micros(before), pruneStep)
		if err != nil || removed < pruneStep {
			return err
		}
	}
}

// eventRows is the argument of insertEvents: a JSON object whose members are numbered in the order of the rows.
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
