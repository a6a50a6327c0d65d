package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

// pool is a sql.DB whose operations first take one of a fixed number of places. Waiting for a place obeys the caller's
// context. Whether what runs in a place does is the engine's choice; see database.limit.
type pool struct {
	db      *sql.DB
	places  chan struct{}
	line    chan struct{} // who comes to places through a line has a place in it first; nil without one
	closing <-chan struct{}

	limit           time.Duration
	repeat, renew   func(error) bool
	present, lately func() error
	// reserve is what writes may take from when the disk is full, and leave what they leave of it; nil for an engine that
	// keeps none.
	reserve *reserve
	leave   int64
	// interrupt makes statements of an engine without a limit end with the caller's context. What they read is read in
	// their first step: the driver interrupts only that one.
	interrupt bool

	// rests makes the line stand still after work: see restFactor.
	rests bool
	rest  struct {
		sync.Mutex
		until time.Time
	}

	// statements keeps what is prepared. Queries are constants, so there are never more than the program has.
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

// statement is a query that is ready to run.
type statement interface {
	ExecContext(ctx context.Context, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, args ...any) *sql.Row
}

func newPool(db *sql.DB, places int, closing <-chan struct{}) *pool {
	return &pool{db: db, places: make(chan struct{}, places), closing: closing, statements: map[string]*sql.Stmt{}}
}

// run takes a place and hands the query over, ready to run, with the context to run it with.
func (p *pool) run(ctx context.Context, query string, use func(context.Context, statement) error) error {
	if p.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, p.deadline(ctx))
		defer cancel()
	}
	if err := p.acquire(ctx); err != nil {
		return err
	}
	defer p.release()
	if p.lately != nil {
		if err := p.lately(); err != nil {
			return err
		}
	}
	if p.limit > 0 {
		return use(ctx, direct{p, query})
	}
	unending := context.WithoutCancel(ctx)
	if !p.interrupt {
		ctx = unending
	} else {
		query = `WITH page AS MATERIALIZED (` + query + `) SELECT * FROM page` //nolint:unqueryvet // all that query reads
	}
	stmt, err := p.prepared(unending, query)
	if err != nil {
		return err
	}
	err = use(ctx, stmt)
	if p.interrupt && errors.Is(err, context.DeadlineExceeded) {
		// The store is well; it was asked for too much.
		return fault.Wrap(fault.Timeout, err)
	}
	return err
}

// deadline is when a statement that begins now must be over.
func (p *pool) deadline(ctx context.Context) time.Time {
	end := time.Now().Add(p.limit)
	if callers, ok := ctx.Deadline(); ok && callers.Before(end) {
		return callers
	}
	return end
}

// direct is a query of a driver that keeps by itself, for each of its connections, what it prepared.
type direct struct {
	pool  *pool
	query string
}

func (d direct) ExecContext(ctx context.Context, args ...any) (sql.Result, error) {
	return d.pool.db.ExecContext(ctx, d.query, args...) // who writes tries again by itself; see repeatedly
}

func (d direct) QueryContext(ctx context.Context, args ...any) (*sql.Rows, error) {
	rows, err := d.pool.db.QueryContext(ctx, d.query, args...)
	if d.again(err) {
		return d.pool.db.QueryContext(ctx, d.query, args...)
	}
	return rows, err
}

func (d direct) QueryRowContext(ctx context.Context, args ...any) *sql.Row {
	row := d.pool.db.QueryRowContext(ctx, d.query, args...)
	if d.again(row.Err()) {
		return d.pool.db.QueryRowContext(ctx, d.query, args...)
	}
	return row
}

// again reports whether the query, which is a transaction by itself and has failed, may succeed when it is tried once
// more.
func (d direct) again(err error) bool {
	return err != nil && (d.pool.renewed(err) || d.pool.repeat != nil && d.pool.repeat(err))
}

// prepared gives the statement for query, which database/sql prepares once on each connection.
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
		defer func() { _ = stmt.Close() }() // another caller was faster; ours was never used
		return first, nil
	}
	p.statements[query] = stmt
	return stmt, nil
}
