package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/latchkey-api/latchkey/fault"
)

var errClosed = errors.New("the store is closed")

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

// behind is a line for the places of p. However many wait in it, at most width of them hold a place or wait for one, so
// who comes to p itself waits for no more of them than these.
func (p *pool) behind(width int) *pool {
	q := newPool(p.db, 0, p.closing)
	q.places, q.line = p.places, make(chan struct{}, width)
	return q
}

// beside is another pool in the places of p.
func (p *pool) beside() *pool {
	q := newPool(p.db, 0, p.closing)
	q.places, q.line = p.places, p.line
	return q
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

// acquire takes a place, or says why there is none. A deadline counts also where nothing watches it: a caller may pass
// a context that only knows the time, because a timer for each request costs more than the read.
func (p *pool) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, limited := ctx.Deadline(); limited && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	select {
	case <-p.closing:
		return errClosed
	default:
	}
	if p.line == nil {
		return p.take(ctx, p.places)
	}
	if err := p.take(ctx, p.line); err != nil {
		return err
	}
	err := p.take(ctx, p.places)
	if err != nil {
		<-p.line
	}
	return err
}

// take takes one of places, or says why there is none.
func (p *pool) take(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	if deadline, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-p.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) release() {
	<-p.places
	if p.line == nil {
		return
	}
	if pause := p.pause(); pause > 0 {
		time.AfterFunc(pause, func() { <-p.line })
		return
	}
	<-p.line
}

const (
	// restFactor is how long the line stands still for work in this process, in times of the work: a crowd that reads lists
	// has a sixth of one core. Without rests it has all of it: where there is always something to run, the runtime looks
	// only every ten milliseconds whether requests have come.
	restFactor = 6
	// restDebt is what may be worked before a rest, as rest; whoever reads some pages waits for nothing.
	restDebt = 60 * time.Millisecond
	// mostRest is the longest rest for one list: others must not wait long because one was slow.
	mostRest = 25 * time.Millisecond
	// leastRest is how long a rest is at least; shorter ones are added up.
	leastRest = 500 * time.Microsecond
)

// worked says how long whoever has a place kept a core busy.
func (p *pool) worked(took time.Duration) {
	if !p.rests {
		return
	}
	p.rest.Lock()
	defer p.rest.Unlock()
	if now := time.Now(); p.rest.until.Before(now) {
		p.rest.until = now
	}
	p.rest.until = p.rest.until.Add(min(restFactor*took, mostRest))
}

// pause is for how long a place in the line is not given back yet.
func (p *pool) pause() time.Duration {
	p.rest.Lock()
	defer p.rest.Unlock()
	if pause := time.Until(p.rest.until.Add(-restDebt)); pause >= leastRest {
		return pause
	}
	return 0
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
