package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/latchkey-api/latchkey/fault"
)

const selectSchema = `SELECT
	(SELECT value FROM meta WHERE name = 'schema_major'),
	(SELECT max(version_id) FROM goose_db_version)`

// Ready returns nil if all of these hold:
//   - the store answers;
//   - it is the database that was opened;
//   - this binary serves its schema.
//
// Otherwise the error is Unavailable. Ready returns when ctx ends, even while the driver hangs. One check runs at a time, and all
// callers share its result.
func (s *Store) Ready(ctx context.Context) error {
	detached := context.WithoutCancel(ctx)
	check := s.readiness.join(func() error { return s.checkReady(detached) })
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	select {
	case <-check.done:
		if check.err != nil {
			return fault.Wrap(fault.Unavailable, check.err)
		}
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, fmt.Errorf("the check of the store did not end in time: %w", ctx.Err()))
	}
}

func (s *Store) checkReady(ctx context.Context) error {
	if s.db.sameDatabase != nil {
		if err := s.db.sameDatabase(); err != nil {
			return err
		}
	}
	var major sql.NullString
	var version sql.NullInt64
	err := s.reader.run(ctx, selectSchema, func(ctx context.Context, stmt statement) error {
		return stmt.QueryRowContext(ctx).Scan(&major, &version)
	})
	if err != nil {
		return err
	}
	if err := checkMajor(major.String); err != nil {
		return fmt.Errorf("the store cannot be served: %w", err)
	}
	if version.Int64 < s.db.schema {
		return fmt.Errorf("the store cannot be served: its schema has version %d, and this program needs %d",
			version.Int64, s.db.schema)
	}
	return nil
}

// flight is one running check that many callers share.
type flight struct {
	mu      sync.Mutex
	current *check
}

// check is one run; err may be read once done is closed.
type check struct {
	done chan struct{}
	err  error
}

// join returns the running check, or starts one.
func (f *flight) join(run func() error) *check {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil {
		return f.current
	}
	c := &check{done: make(chan struct{})}
	f.current = c
	go func() {
		c.err = run()
		f.mu.Lock()
		f.current = nil
		f.mu.Unlock()
		close(c.done)
	}()
	return c
}
