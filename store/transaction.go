package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

// transaction is a *sql.Tx that gives each of its statements the whole of the engine's limit.
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

// transaction takes a place and runs use in one transaction, which is committed when use returns nil. Where the database
// ended the transaction for the sake of another one, use is called again in a new one.
func (p *pool) transaction(ctx context.Context, use func(context.Context, transaction) error) error {
	ctx, next, cancel := p.stepwise(ctx)
	defer cancel()
	if err := p.acquire(ctx); err != nil {
		return err
	}
	defer p.release()
	if p.limit == 0 {
		ctx = context.WithoutCancel(ctx)
	}
	return p.inPlace(ctx, func() error {
		return p.repeatedly(ctx, func() error {
			err := p.attempt(ctx, next, use)
			if err != nil && ctx.Err() != nil {
				// What the driver says of a transaction whose time is over depends on where it was.
				return fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
			next() // for an attempt after this one
			return err
		})
	})
}

// inPlace writes, if what was opened is in its place, and fails if it is not there any more once it is written: what is
// written to a file that was removed would be acknowledged and lost.
func (p *pool) inPlace(ctx context.Context, write func() error) error {
	if p.present == nil {
		return write()
	}
	if err := p.present(); err != nil {
		return err
	}
	if p.reserve != nil {
		unreserved := write
		write = func() error { return p.reserve.write(ctx, p.leave, unreserved) }
	}
	if err := write(); err != nil {
		return err
	}
	return p.present()
}

func (p *pool) attempt(ctx context.Context, next func(), use func(context.Context, transaction) error) error {
	// Beginning shares its time with the wait for a place, so that whoever comes while the server hangs waits once.
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	// After a commit this does nothing. A connection that stayed in its transaction, also because use panics, would
	// never come back; what failed is the news, and a rollback that fails as well adds nothing.
	defer func() { _ = tx.Rollback() }()
	if err := use(ctx, transaction{tx, next}); err != nil {
		return err
	}
	next()
	return tx.Commit()
}

// stepwise gives a context for many statements: it ends where none of them began, and next was not called, for the limit
// of one statement, and when the caller's time is over. Without a limit it is the caller's.
func (p *pool) stepwise(ctx context.Context) (_ context.Context, next, cancel func()) {
	if p.limit == 0 {
		return ctx, func() {}, func() {}
	}
	stop := func() {}
	if deadline, ok := ctx.Deadline(); ok {
		ctx, stop = context.WithDeadline(ctx, deadline) // the caller's may be one that nothing watches
	}
	ctx, end := context.WithCancelCause(ctx)
	timer := time.AfterFunc(p.limit, func() { end(context.DeadlineExceeded) })
	return ctx, func() { timer.Reset(p.limit) }, func() {
		timer.Stop()
		end(nil)
		stop()
	}
}

// An operation that the database ended for the sake of another one is tried this often, at most for the limit of one
// statement, each time after a pause that is, on the average, repeatPause longer.
const (
	repeatAttempts = 20
	repeatPause    = time.Millisecond
)

func (p *pool) renewed(err error) bool { return p.renew != nil && p.renew(err) }

// repeatedly tries again what may be tried again; on a fresh connection once.
func (p *pool) repeatedly(ctx context.Context, try func() error) error {
	giveUp := p.deadline(ctx)
	fresh := false
	for attempt := 1; ; attempt++ {
		err := try()
		if err != nil && !fresh && p.renewed(err) {
			fresh = true
			continue
		}
		if err == nil || p.repeat == nil || !p.repeat(err) || attempt == repeatAttempts || time.Now().After(giveUp) {
			return err
		}
		// By chance, so that those who disturbed each other do not meet again.
		pause := rand.N(time.Duration(2*attempt) * repeatPause) //nolint:gosec // it need not be hard to guess
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		case <-p.closing:
			return err
		}
	}
}
