package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// Only the store's clock says whether an instance is live, so that the clocks of the instances may be wrong.
const (
	// clock is the store's clock.
	clock = `(SELECT micros FROM store_clock)`

	// The answer to a heartbeat says whether an instance has to read the shares of the others. Otherwise it need not.
	updateInstance = `UPDATE instances SET version = $2, beat_at = ` + clock + ` WHERE id = $1 RETURNING
		(SELECT count(*) FROM instances AS other WHERE other.id <> $1 AND ` + live + `$3),
		EXISTS (SELECT 1 FROM instances AS other WHERE other.shares <> '' AND (other.id = $1 OR ` + live + `$3))`

	// A heartbeat from the future does not count: where the clock was set back, an instance that had stopped would be live
	// again. Heartbeats that are committed during the query may be up to a second ahead. The maximum age follows.
	live = `beat_at <= ` + clock + ` + 1000000 AND beat_at >= ` + clock + ` - `

	insertInstance = `INSERT INTO instances (id, version, beat_at) VALUES ($1, $2, ` + clock + `)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, beat_at = excluded.beat_at`

	deleteInstance = `DELETE FROM instances WHERE id = $1`

	// An instance that was killed leaves its row behind. After ten minutes, far longer than anybody waits for an instance, the
	// row is removed.
	deleteLostInstances = `DELETE FROM instances WHERE beat_at < ` + clock + ` - 600000000`

	selectInstances = `SELECT id, version, shares FROM instances WHERE ` + live + `$1`

	updateShares = `UPDATE instances SET shares = $2 WHERE id = $1`

	// The column turn is the epoch of the fleet.
	lockFleet = `UPDATE fleet SET turn = turn`
	nextEpoch = `UPDATE fleet SET turn = turn + 1`
)

// Heartbeat writes that the instance is live and has seen the keys as of version. The answer counts the instances whose last
// heartbeat is not older than maxAge. It is one statement. Only the first heartbeat of an instance is a transaction: it also
// moves the epoch, and removes instances that were killed. Invalid when the name cannot be stored.
func (s *Store) Heartbeat(ctx context.Context, instance string, version int64, maxAge time.Duration) (keys.Fleet, error) {
	if !storable(instance) {
		return keys.Fleet{}, fault.New(fault.Invalid)
	}
	args := []any{instance, version, maxAge.Microseconds()}
	var fleet keys.Fleet
	var known bool
	err := s.fleetWriter.run(ctx, updateInstance, func(ctx context.Context, stmt statement) error {
		return s.fleetWriter.writeSameDatabase(ctx, func() error {
			return s.fleetWriter.retry(ctx, func() error {
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
		if _, err := tx.exec(ctx, nextEpoch); err != nil {
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

// scanFleet reads the answer to a heartbeat; known is false where there is no row of the instance. It reads to the end,
// because only then the heartbeat is written.
func scanFleet(rows *sql.Rows, fleet *keys.Fleet) (known bool, err error) {
	defer rows.Close()
	for rows.Next() {
		known = true
		if err := rows.Scan(&fleet.Others, &fleet.Sharing); err != nil {
			return false, err
		}
	}
	return known, rows.Err()
}

// Leave removes the instance and moves the epoch. It does nothing for an unknown instance.
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
		_, err = tx.exec(ctx, nextEpoch)
		return err
	}))
}

// Instances reads the instances whose last heartbeat is not older than maxAge; never nil.
func (s *Store) Instances(ctx context.Context, maxAge time.Duration) (map[string]keys.Instance, error) {
	found := map[string]keys.Instance{}
	err := s.read(ctx, selectInstances, func(ctx context.Context, stmt statement) error {
		rows, err := stmt.QueryContext(ctx, maxAge.Microseconds())
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

// UpdateShares reads the instances whose last heartbeat is not older than maxAge, and writes the shares of instance that
// update makes of them. urgent moves the epoch, so that the others look at once. Only one such transaction runs at a time, and
// each reads what the one before has written. NotFound when instance is not among them. update may be called again, when the
// transaction has to be repeated.
func (s *Store) UpdateShares(
	ctx context.Context, instance string, maxAge time.Duration,
	update func(live map[string]keys.Instance) (shares string, urgent bool),
) error {
	if !storable(instance) {
		return fault.New(fault.NotFound)
	}
	return s.fault(s.fleetWriter.transaction(ctx, func(ctx context.Context, tx transaction) error {
		if _, err := tx.exec(ctx, lockFleet); err != nil {
			return err
		}
		rows, err := tx.query(ctx, selectInstances, maxAge.Microseconds())
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
		shares, urgent := update(found)
		if !storable(shares) {
			return fault.New(fault.Invalid)
		}
		if _, err := tx.exec(ctx, updateShares, instance, shares); err != nil || !urgent {
			return err
		}
		_, err = tx.exec(ctx, nextEpoch)
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
