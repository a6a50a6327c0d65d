package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

// transaction is a *sql.Tx in which each statement has the engine's full timeout.
type transaction struct {
	tx   *sql.Tx
	next func()
}

func (t transaction) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	t.next()
	return t.tx.ExecContext(ctx, query, args...)
}

func (t transaction) queryRow(ctx context.Context, query string, args ...any) *sql.Row {
	t.next()
	return t.tx.QueryRowContext(ctx, query, args...)
}

func (t transaction) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	t.next()
	return t.tx.QueryContext(ctx, query, args...)
}

// transaction takes a slot, runs use in a transaction, and commits it if use returns nil. If the database rolled it back in
// favour of another one, use is called again in a new transaction.
func (p *pool) transaction(ctx context.Context, use func(context.Context, transaction) error) error {
	ctx, next, cancel := p.statementTimeouts(ctx)
	defer cancel()
	if err := p.acquire(ctx); err != nil {
		return err
	}
	defer p.release()
	if p.timeout == 0 {
		ctx = context.WithoutCancel(ctx)
	}
	return p.writeSameDatabase(ctx, func() error {
		return p.retry(ctx, func() error {
			err := p.attempt(ctx, next, use)
			if err != nil && ctx.Err() != nil {
				// The driver's error after a timeout depends on the statement that it hit.
				return fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
			next() // for the next attempt
			return err
		})
	})
}

// writeSameDatabase calls write if the database is still the one that was opened, and checks again afterwards: a write to a
// file that was removed would be acknowledged and lost.
func (p *pool) writeSameDatabase(ctx context.Context, write func() error) error {
	if p.sameDatabase == nil {
		return write()
	}
	if err := p.sameDatabase(); err != nil {
		return err
	}
	if p.reserve != nil {
		unreserved := write
		write = func() error { return p.reserve.write(ctx, p.keepFree, unreserved) }
	}
	if err := write(); err != nil {
		return err
	}
	return p.sameDatabase()
}

func (p *pool) attempt(ctx context.Context, next func(), use func(context.Context, transaction) error) error {
	// BEGIN has what is left of the timeout after the wait for a slot, so that a caller waits once while the server hangs.
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	// After a commit this does nothing. Without it, a connection whose use panics would stay in its transaction for ever. The
	// first error is the one to report, not that of the rollback.
	defer func() { _ = tx.Rollback() }()
	if err := use(ctx, transaction{tx, next}); err != nil {
		return err
	}
	next()
	return tx.Commit()
}

// statementTimeouts returns a context for several statements. It ends at the caller's deadline, or when next was not called
// for the timeout of one statement. Without a timeout it is the caller's context.
func (p *pool) statementTimeouts(ctx context.Context) (_ context.Context, next, cancel func()) {
	if p.timeout == 0 {
		return ctx, func() {}, func() {}
	}
	stop := func() {}
	if deadline, ok := ctx.Deadline(); ok {
		ctx, stop = context.WithDeadline(ctx, deadline) // the caller's may have no timer
	}
	ctx, end := context.WithCancelCause(ctx)
	timer := time.AfterFunc(p.timeout, func() { end(context.DeadlineExceeded) })
	return ctx, func() { timer.Reset(p.timeout) }, func() {
		timer.Stop()
		end(nil)
		stop()
	}
}

// An operation that the database rolled back in favour of another one is attempted so often, for at most the timeout of one
// statement. The pause before each attempt is random; on average it grows by retryPause.
const (
	retryAttempts = 20
	retryPause    = time.Millisecond
)

func (p *pool) onStaleConnection(err error) bool { return p.discardStale != nil && p.discardStale(err) }

// retry calls try until it succeeds or fails for good. After the error of a stale connection it tries once more at once.
func (p *pool) retry(ctx context.Context, try func() error) error {
	giveUp := p.deadline(ctx)
	fresh := false
	for attempt := 1; ; attempt++ {
		err := try()
		if err != nil && !fresh && p.onStaleConnection(err) {
			fresh = true
			continue
		}
		if err == nil || p.retryable == nil || !p.retryable(err) || attempt == retryAttempts || time.Now().After(giveUp) {
			return err
		}
		// Jitter, so that two transactions do not collide again.
		pause := rand.N(time.Duration(2*attempt) * retryPause) //nolint:gosec // it need not be hard to guess
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		case <-p.closing:
			return err
		}
	}
}
