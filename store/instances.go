package store

import (
	"context"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

const (
	updateInstance = `UPDATE instances SET version = $2, beat_at = $3 WHERE id = $1`
	insertInstance = `INSERT INTO instances (id, version, beat_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, beat_at = excluded.beat_at`

	deleteInstance      = `DELETE FROM instances WHERE id = $1`
	deleteLostInstances = `DELETE FROM instances WHERE beat_at < $1`

	selectInstances = `SELECT id, version FROM instances WHERE beat_at >= $1`
)

// lostAfter is how long an instance that stopped without leaving is remembered. It is far longer than anybody waits
// for one; a living one that it hits, because clocks differ that much, is back with its next beat.
const lostAfter = 24 * time.Hour

// Beat says that the instance is alive and has seen the keys as of version. The first beat of an instance forgets those
// that were lost. Invalid when its name cannot be stored.
func (s *Store) Beat(ctx context.Context, instance string, version int64, at time.Time) error {
	if !storable(instance) {
		return fault.New(fault.Invalid)
	}
	return s.fault(s.writer.transaction(ctx, func(ctx context.Context, tx transaction) error {
		result, err := tx.exec(ctx, updateInstance, instance, version, micros(at))
		if err != nil {
			return err
		}
		if known, err := result.RowsAffected(); err != nil || known > 0 {
			return err
		}
		if _, err := tx.exec(ctx, deleteLostInstances, micros(at.Add(-lostAfter))); err != nil {
			return err
		}
		_, err = tx.exec(ctx, insertInstance, instance, version, micros(at))
		return err
	}))
}

// Leave forgets the instance; one that is not known is forgotten already.
func (s *Store) Leave(ctx context.Context, instance string) error {
	if !storable(instance) {
		return nil
	}
	_, err := s.write(ctx, deleteInstance, instance)
	return err
}

// Instances gives the instances whose last beat is not before since, and the version that each has seen; never nil.
func (s *Store) Instances(ctx context.Context, since time.Time) (map[string]int64, error) {
	seen := map[string]int64{}
	err := s.read(ctx, selectInstances, func(ctx context.Context, stmt statement) error {
		rows, err := stmt.QueryContext(ctx, micros(since))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			var version int64
			if err := rows.Scan(&id, &version); err != nil {
				return err
			}
			seen[id] = version
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return seen, nil
}
