package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// counted counts the statements of its connections, with BEGIN, COMMIT and ROLLBACK.
type counted struct {
	driver.Connector

	count *atomic.Int64
}

func (c counted) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return countedConn{conn, c.count}, err
}

type countedConn struct {
	driver.Conn

	count *atomic.Int64
}

func (c countedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.count.Add(1)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c countedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.count.Add(1)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c countedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.count.Add(1)
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return countedTx{tx, c.count}, err
}

func (c countedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return countedStmt{stmt, c.count}, err
}

func (c countedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type countedTx struct {
	driver.Tx

	count *atomic.Int64
}

func (t countedTx) Commit() error   { t.count.Add(1); return t.Tx.Commit() }
func (t countedTx) Rollback() error { t.count.Add(1); return t.Tx.Rollback() }

type countedStmt struct {
	driver.Stmt

	count *atomic.Int64
}

func (s countedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.count.Add(1)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (s countedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.count.Add(1)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// Idle instances poll and send heartbeats all the time: each is one statement, without a transaction.
func TestPollAndHeartbeatAreOneStatement(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		s, count := p.openCounted(t)
		ctx := t.Context()
		if _, err := s.Heartbeat(ctx, "one", 1, time.Minute); err != nil {
			t.Fatal(err)
		}
		idle := map[string]func() error{
			"a poll":      func() error { _, err := s.KeyChanges(ctx, 0, 1000); return err },
			"a heartbeat": func() error { _, err := s.Heartbeat(ctx, "one", 1, time.Minute); return err },
		}
		for what, ask := range idle {
			before := count.Load()
			if err := ask(); err != nil {
				t.Fatal(what, err)
			}
			if n := count.Load() - before; n != 1 {
				t.Errorf("%s takes %d statements", what, n)
			}
		}
	})
}

// A list reads a page with one statement, however many rows it has. The row of a rotated key also has the time its successor was
// created.
func TestListReadsAPageWithOneStatement(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		s, count := p.openCounted(t)
		ctx := t.Context()
		first := time.UnixMicro(1).UTC()
		for i := range 20 {
			old, next := fmt.Sprint("old", i), fmt.Sprint("new", i)
			if _, err := s.CreateKey(ctx, keys.Record{ID: old, Material: []byte{1}, CreatedAt: first}, keys.Event{}); err != nil {
				t.Fatal(err)
			}
			_, _, err := s.RotateKey(ctx, old, keys.Event{}, func(*keys.Record) (keys.Record, error) {
				return keys.Record{ID: next, Material: []byte{1}, CreatedAt: first.Add(time.Minute)}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		page := store.Page{Size: 40}
		lists := map[string]func() (int, error){
			"keys": func() (rotated int, err error) {
				list, _, err := s.Keys(ctx, store.KeyFilter{}, page)
				for _, key := range list {
					if key.SuccessorCreatedAt.Equal(first.Add(time.Minute)) {
						rotated++
					}
				}
				return 2 * rotated, err
			},
			"audit": func() (int, error) {
				list, _, err := s.Audit(ctx, store.AuditFilter{}, page)
				return len(list), err
			},
		}
		for name, read := range lists {
			before := count.Load()
			rows, err := read()
			if n := count.Load() - before; err != nil || rows != page.Size || n != 1 {
				t.Errorf("%s: %d statements for %d rows, %v", name, n, rows, err)
			}
		}
	})
}

// openCounted opens a store with one connection, and counts its statements.
func (p place) openCounted(t *testing.T) (*store.Store, *atomic.Int64) {
	t.Helper()
	s := p.open(t)
	var connector driver.Connector
	var err error
	if p.engine == "sqlite" {
		connector, err = sqlite.NewConnector(p.named)
	} else {
		var connections *pgxpool.Pool
		if connections, err = pgxpool.New(t.Context(), p.url); err == nil {
			t.Cleanup(connections.Close)
			connector = stdlib.GetPoolConnector(connections)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	db := sql.OpenDB(counted{connector, &count})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	s.UseDB(db)
	return s, &count
}
