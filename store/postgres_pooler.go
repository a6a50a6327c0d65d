package store

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// A pooler that gives each transaction another connection of its own to the server, as PgBouncer does, loses what a
// connection is otherwise trusted to keep: prepared statements, settings, LISTEN. It shows itself: the process id that it
// tells when a connection begins is not that of the server's process. Each new connection is asked, because a pooler may
// be on one of two ways to the server, and may come later.

// pooledKey is where a connection keeps the answer.
const pooledKey = "latchkey: through a pooler"

// askPooler reports whether a pooler stands before the server. Otherwise it settles what a server may have another default
// for: every transaction here is written for this isolation, and one whose process was stopped or lost in its middle
// must not keep its locks, because all changes of keys wait for one row. These settings are no part of the URL, because
// poolers refuse parameters that they do not know; and through a pooler they would be left to whoever comes next.
const askPooler = `SELECT CASE WHEN pg_backend_pid() <> $1::bigint THEN NULL ELSE
	set_config('default_transaction_isolation', 'read committed', false) ||
	set_config('idle_in_transaction_session_timeout', '3000', false) END IS NULL`

// beginPooled is the same for one transaction.
const beginPooled = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 3000`

// settlePostgres is called for each new connection of the pool.
func settlePostgres(ctx context.Context, conn *pgx.Conn) error {
	// The pool sets no limit here, and keeps a place for the connection as long as this takes.
	ctx, cancel := context.WithTimeout(ctx, postgresTimeout)
	defer cancel()
	pooled, err := isPooled(ctx, conn)
	if err == nil {
		conn.PgConn().CustomData()[pooledKey] = pooled
	}
	return err
}

func isPooled(ctx context.Context, conn *pgx.Conn) (pooled bool, err error) {
	err = conn.QueryRow(ctx, askPooler, pgx.QueryExecModeExec, int64(conn.PgConn().PID())).Scan(&pooled)
	return pooled, err
}

// postgresConnector hands out connections of the pool that are used as their way to the server allows.
type postgresConnector struct{ driver.Connector }

func (c postgresConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	usual, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(errors.New("a connection of another driver"), conn.Close())
	}
	if usual.Conn().PgConn().CustomData()[pooledKey] != true {
		return usual, nil
	}
	return pooledConn{usual}, nil
}

// pooledConn prepares nothing, and sets nothing that outlives a transaction. A query and its values are sent together,
// so that one connection of the pooler gets both.
type pooledConn struct{ *stdlib.Conn }

func (c pooledConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.ExecContext(ctx, query, unprepared(args))
}

func (c pooledConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.QueryContext(ctx, query, unprepared(args))
}

// unprepared tells the driver, as the first value, how to send the others.
func unprepared(args []driver.NamedValue) []driver.NamedValue {
	return append([]driver.NamedValue{{Value: pgx.QueryExecModeExec}}, args...)
}

// BeginTx begins the one kind of transaction there is here, whatever the options.
func (c pooledConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if c.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	tx, err := c.Conn.Conn().BeginTx(ctx, pgx.TxOptions{BeginQuery: beginPooled})
	if err != nil {
		return nil, err
	}
	return pooledTx{ctx, tx}, nil
}

// pooledTx ends within the time that the transaction has, as the driver's own does.
type pooledTx struct {
	ctx context.Context //nolint:containedctx // database/sql hands it over at the beginning only
	tx  pgx.Tx
}

func (t pooledTx) Commit() error   { return t.tx.Commit(t.ctx) }
func (t pooledTx) Rollback() error { return t.tx.Rollback(t.ctx) }

// outdated reports whether a statement failed because of what its connection had prepared: a table or a view has changed
// since, or another server answers than the one that prepared it. Where it is sent anew, it works.
func outdated(err error) bool {
	reported, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch reported.Code {
	case "26000", "42P05": // invalid_sql_statement_name, duplicate_prepared_statement
		return true
	case "0A000": // feature_not_supported, here "cached plan must not change result type" in the server's language
		return reported.Routine == "RevalidateCachedQuery"
	}
	return false
}
