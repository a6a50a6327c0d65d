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

	deleteEvents = `DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at < $1 ORDER BY at LIMIT $2)`
)

// The pages of the audit. Without a time their order is that of writing, so that whoever reads on from a page misses
// nothing. With a time it is that of the times, which need not rise with seq: clocks differ, and refusals are written late.
//
//nolint:gochecknoglobals // made before main begins
var (
	selectEvents      = paged(events, walk{})
	selectEventsSince = paged(events, walk{since: `$3`})

	// What was done to a key, and what it did.
	selectEventsOf      = paged(events, walk{equal: []equal{{`target`, `$3`}}}, walk{equal: []equal{{`actor`, `$3`}}})
	selectEventsOfSince = paged(events,
		walk{equal: []equal{{`target`, `$3`}}, since: `$4`}, walk{equal: []equal{{`actor`, `$3`}}, since: `$4`})
)

const events = `SELECT seq, ` + eventColumns + ` FROM audit`

// pruneStep is how many rows PruneEvents removes at once; between two steps others may write.
const pruneStep = 1000

// AuditFilter says which rows of the audit a list has. An empty field matches every row.
type AuditFilter struct {
	// Key matches what the key did and what was done to it.
	Key string
	// Since matches what happened then or later.
	Since time.Time
}

// Audit lists the rows of the audit, the oldest first: in the order in which they were written, and with Since in the order
// of their times. It gives the place where the next page begins, zero when there is none. The list may be empty, it is
// never nil.
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
