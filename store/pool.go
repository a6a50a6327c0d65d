package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"
)

var errClosed = errors.New("the store is closed")

// pool is a sql.DB whose operations first take one of a fixed number of places. Waiting for a place obeys the caller's
// context. What runs in a place does not: a statement that can be cancelled costs SQLite half as much again for a point
// read, and one that cannot always tells what happened. It is short: a lock is waited for two seconds at most.
type pool struct {
	db      *sql.DB
	places  chan struct{}
	closing <-chan struct{}

	// statements keeps what is prepared. Queries are constants, so there are never more than the program has.
	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

func newPool(db *sql.DB, places int, closing <-chan struct{}) *pool {
	return &pool{db: db, places: make(chan struct{}, places), closing: closing, statements: map[string]*sql.Stmt{}}
}

// run takes a place and hands the prepared query over, with a context that has ctx's values and no end.
func (p *pool) run(ctx context.Context, query string, use func(context.Context, *sql.Stmt) error) error {
	if err := p.acquire(ctx); err != nil {
		return err
	}
	defer p.release()
	ctx = context.WithoutCancel(ctx)
	stmt, err := p.prepared(ctx, query)
	if err != nil {
		return err
	}
	return use(ctx, stmt)
}

// transaction takes a place and runs use in one transaction, which is committed when use returns nil.
func (p *pool) transaction(ctx context.Context, use func(context.Context, *sql.Tx) error) error {
	if err := p.acquire(ctx); err != nil {
		return err
	}
	defer p.release()
	ctx = context.WithoutCancel(ctx)
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	// After a commit this does nothing. A connection that stayed in its transaction, also because use panics, would
	// never come back; what failed is the news, and a rollback that fails as well adds nothing.
	defer func() { _ = tx.Rollback() }()
	if err := use(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// acquire takes a place, or says why there is none. A deadline counts also where nothing watches it: a caller may pass
// a context that only knows the time, because a timer for each request costs more than the read.
func (p *pool) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline, limited := ctx.Deadline()
	if limited && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	select {
	case <-p.closing:
		return errClosed
	default:
	}
	select {
	case p.places <- struct{}{}:
		return nil
	default:
	}
	if limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	select {
	case p.places <- struct{}{}:
		return nil
	case <-p.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) release() { <-p.places }

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

// drain waits until no operation is in flight, or until patience ends. The places are not given back.
func (p *pool) drain(patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for range cap(p.places) {
		select {
		case p.places <- struct{}{}:
		case <-timer.C:
			return
		}
	}
}
