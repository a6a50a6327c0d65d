package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// An instance is judged by the store's clock alone, so that no other one has to be right.
const (
	// clock is the time on the store's clock.
	clock = `(SELECT micros FROM store_clock)`

	// The heartbeat tells as well what would make an instance look at the others, so that it need not look otherwise.
	updateInstance = `UPDATE instances SET version = $2, beat_at = ` + clock + ` WHERE id = $1 RETURNING
		(SELECT count(*) FROM instances AS other WHERE other.id <> $1 AND ` + live + `$3),
		EXISTS (SELECT 1 FROM instances AS other WHERE other.shares <> '' AND (other.id = $1 OR ` + live + `$3))`

	// A clock that was set back does not bring back who stopped since: who lives beats anew. A second is left for beats
	// that are committed while this is read. What follows is for how long a beat counts.
	live = `beat_at <= ` + clock + ` + 1000000 AND beat_at >= ` + clock + ` - `

	insertInstance = `INSERT INTO instances (id, version, beat_at) VALUES ($1, $2, ` + clock + `)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, beat_at = excluded.beat_at`

	deleteInstance = `DELETE FROM instances WHERE id = $1`
	// An instance that stopped without leaving is remembered for ten minutes, far longer than anybody waits for one: one
	// that is started again and again must not leave ever more rows to look through.
	deleteLostInstances = `DELETE FROM instances WHERE beat_at < ` + clock + ` - 600000000`

	selectInstances = `SELECT id, version, shares FROM instances WHERE ` + live + `$1`

	updateShares = `UPDATE instances SET shares = $2 WHERE id = $1`

	lockFleet = `UPDATE fleet SET turn = turn`
	nextTurn  = `UPDATE fleet SET turn = turn + 1`
)

// Beat says that the instance is alive and has seen the keys as of version, and gives what there is of the fleet, as far
// as it has beaten within the given time. It is one statement; only the first beat of an instance is more: it tells the
// others, and forgets those that were lost. Invalid when its name cannot be stored.
func (s *Store) Beat(ctx context.Context, instance string, version int64, within time.Duration) (keys.Fleet, error) {
	if !storable(instance) {
		return keys.Fleet{}, fault.New(fault.Invalid)
	}
	args := []any{instance, version, within.Microseconds()}
	var fleet keys.Fleet
	var known bool
	err := s.fleetWriter.run(ctx, updateInstance, func(ctx context.Context, stmt statement) error {
		return s.fleetWriter.inPlace(ctx, func() error {
			return s.fleetWriter.repeatedly(ctx, func() error {
				rows, err := stmt.QueryContext(ctx, args...)
				if err != nil {
					return err
				}
				known, err = scanFleet(rows, &fleet)
				return err
			})
		})
	})
	if err != nil || known {
		return fleet, s.fault(err)
	}
	err = s.fleetWriter.transaction(ctx, func(ctx context.Context, tx transaction) error {
		if _, err := tx.exec(ctx, deleteLostInstances); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, insertInstance, instance, version); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, nextTurn); err != nil {
			return err
		}
		rows, err := tx.query(ctx, updateInstance, args...)
		if err != nil {
			return err
		}
		_, err = scanFleet(rows, &fleet)
		return err
	})
	return fleet, s.fault(err)
}

// scanFleet reads the row that a beat gives, if its instance is known, to the end: only then the beat is written.
func scanFleet(rows *sql.Rows, fleet *keys.Fleet) (known bool, err error) {
	defer rows.Close()
	for rows.Next() {
		known = true
		if err := rows.Scan(&fleet.Others, &fleet.Dividing); err != nil {
			return false, err
		}
	}
	return known, rows.Err()
}

// Leave forgets the instance and tells the others; one that is not known is forgotten already.
func (s *Store) Leave(ctx context.Context, instance string) error {
	if !storable(instance) {
		return nil
	}
	return s.fault(s.fleetWriter.transaction(ctx, func(ctx context.Context, tx transaction) error {
		result, err := tx.exec(ctx, deleteInstance, instance)
		if err != nil {
			return err
		}
		if known, err := result.RowsAffected(); err != nil || known == 0 {
			return err
		}
		_, err = tx.exec(ctx, nextTurn)
		return err
	}))
}

// Instances gives the instances that have beaten within the given time; never nil.
func (s *Store) Instances(ctx context.Context, within time.Duration) (map[string]keys.Instance, error) {
	found := map[string]keys.Instance{}
	err := s.read(ctx, selectInstances, func(ctx context.Context, stmt statement) error {
		rows, err := stmt.QueryContext(ctx, within.Microseconds())
		if err != nil {
			return err
		}
		return scanInstances(rows, found)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// DivideLimits gives divide the instances that have beaten within the given time, and keeps as the shares of instance
// what it answers; told makes the others look as well. No two of them divide at the same time, and each sees what the
// one before has kept. NotFound when instance has not beaten. divide may be called again, when the transaction has to
// be tried again.
func (s *Store) DivideLimits(
	ctx context.Context, instance string, within time.Duration,
	divide func(map[string]keys.Instance) (shares string, told bool),
) error {
	if !storable(instance) {
		return fault.New(fault.NotFound)
	}
	return s.fault(s.fleetWriter.transaction(ctx, func(ctx context.Context, tx transaction) error {
		if _, err := tx.exec(ctx, lockFleet); err != nil {
			return err
		}
		rows, err := tx.query(ctx, selectInstances, within.Microseconds())
		if err != nil {
			return err
		}
		found := map[string]keys.Instance{}
		if err := scanInstances(rows, found); err != nil {
			return err
		}
		if _, live := found[instance]; !live {
			return fault.New(fault.NotFound)
		}
		shares, told := divide(found)
		if !storable(shares) {
			return fault.New(fault.Invalid)
		}
		if _, err := tx.exec(ctx, updateShares, instance, shares); err != nil || !told {
			return err
		}
		_, err = tx.exec(ctx, nextTurn)
		return err
	}))
}

// scanInstances reads all rows into found, and closes them.
func scanInstances(rows *sql.Rows, found map[string]keys.Instance) error {
	defer rows.Close()
	for rows.Next() {
		var id string
		var i keys.Instance
		if err := rows.Scan(&id, &i.Version, &i.Shares); err != nil {
			return err
		}
		found[id] = i
	}
	return rows.Err()
}
