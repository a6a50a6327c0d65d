package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

// pool is a sql.DB with a fixed number of slots: each operation takes one. The wait for a slot ends with the caller's
// context. Whether the operation does as well depends on the engine: see database.timeout.
type pool struct {
	db      *sql.DB
	slots   chan struct{}
	queue   chan struct{} // an operation takes a place here before it waits for a slot; nil for none
	closing <-chan struct{}

	timeout                          time.Duration
	retryable, discardStale          func(error) bool
	sameDatabase, sameDatabaseCached func() error
	// reserve is disk space for when the disk is full. Writes through this pool leave keepFree bytes of it. nil for an engine
	// without one.
	reserve  *reserve
	keepFree int64
	// interrupt ends statements with the caller's context on an engine without a timeout. They read everything in their first
	// step, because the driver interrupts no other.
	interrupt bool

	// throttled keeps the queue closed for a while after work: see restFactor.
	throttled bool
	rest      struct {
		sync.Mutex
		until time.Time
	}

	// statements are the prepared queries. Queries are constants, so the map stays small.
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

// statement is a query that is ready to run.
type statement interface {
	ExecContext(ctx context.Context, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, args ...any) *sql.Row
}

func newPool(db *sql.DB, slots int, closing <-chan struct{}) *pool {
	return &pool{db: db, slots: make(chan struct{}, slots), closing: closing, statements: map[string]*sql.Stmt{}}
}

// run takes a slot and calls use with the query, ready to run, and the context to run it with.
func (p *pool) run(ctx context.Context, query string, use func(context.Context, statement) error) error {
	if p.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, p.deadline(ctx))
		defer cancel()
	}
	if err := p.acquire(ctx); err != nil {
		return err
	}
	defer p.release()
	if p.sameDatabaseCached != nil {
		if err := p.sameDatabaseCached(); err != nil {
			return err
		}
	}
	if p.timeout > 0 {
		return use(ctx, driverQuery{p, query})
	}
	detached := context.WithoutCancel(ctx)
	if !p.interrupt {
		ctx = detached
	} else {
		query = `WITH page AS MATERIALIZED (` + query + `) SELECT * FROM page` //nolint:unqueryvet // all that query reads
	}
	stmt, err := p.prepared(detached, query)
	if err != nil {
		return err
	}
	err = use(ctx, stmt)
	if p.interrupt && errors.Is(err, context.DeadlineExceeded) {
		// The store is healthy: this request read too much.
		return fault.Wrap(fault.Timeout, err)
	}
	return err
}

// deadline is when a statement that begins now must end.
func (p *pool) deadline(ctx context.Context) time.Time {
	end := time.Now().Add(p.timeout)
	if callers, ok := ctx.Deadline(); ok && callers.Before(end) {
		return callers
	}
	return end
}

// driverQuery is a query of a driver that prepares statements itself, once on each connection.
type driverQuery struct {
	pool  *pool
	query string
}

func (d driverQuery) ExecContext(ctx context.Context, args ...any) (sql.Result, error) {
	return d.pool.db.ExecContext(ctx, d.query, args...) // writes have a retry of their own; see retry
}

func (d driverQuery) QueryContext(ctx context.Context, args ...any) (*sql.Rows, error) {
	rows, err := d.pool.db.QueryContext(ctx, d.query, args...)
	if d.shouldRetry(err) {
		return d.pool.db.QueryContext(ctx, d.query, args...)
	}
	return rows, err
}

func (d driverQuery) QueryRowContext(ctx context.Context, args ...any) *sql.Row {
	row := d.pool.db.QueryRowContext(ctx, d.query, args...)
	if d.shouldRetry(row.Err()) {
		return d.pool.db.QueryRowContext(ctx, d.query, args...)
	}
	return row
}

// shouldRetry reports whether a query that failed, a transaction by itself, may succeed the second time.
func (d driverQuery) shouldRetry(err error) bool {
	return err != nil && (d.pool.onStaleConnection(err) || d.pool.retryable != nil && d.pool.retryable(err))
}

// prepared returns the statement for query. database/sql prepares it once on each connection.
func (p *pool) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.RLock()
	stmt, ok := p.statements[query]
	p.mu.RUnlock()
	if ok {
		return stmt, nil
	}
	stmt, err := p.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first, ok := p.statements[query]; ok {
		defer func() { _ = stmt.Close() }() // another caller was faster, and ours was never used
		return first, nil
	}
	p.statements[query] = stmt
	return stmt, nil
}
