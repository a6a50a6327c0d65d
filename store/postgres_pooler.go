package store

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// A pooler such as PgBouncer may run each transaction on another connection to the server. Then a connection does not keep its
// prepared statements, its settings or LISTEN. A pooler is recognized by the process id that it reports when a connection
// begins: it is not the one of the server's process. Each new connection is checked, because a pooler may be on only one of
// several routes, and may be added later.

// pooledKey is the name under which a connection keeps the answer.
const pooledKey = "latchkey: through a pooler"

// askPooler reports whether there is a pooler. If not, it sets two parameters of the session:
//   - the isolation for which all transactions here are written;
//   - a timeout for idle transactions: all changes of keys wait for one row, so a process that is stopped or lost in a
//     transaction must not keep its locks.
//
// They are not in the URL, because poolers refuse unknown parameters. Through a pooler they would stay for its next client.
const askPooler = `SELECT CASE WHEN pg_backend_pid() <> $1::bigint THEN NULL ELSE
	set_config('default_transaction_isolation', 'read committed', false) ||
	set_config('idle_in_transaction_session_timeout', '3000', false) END IS NULL`

// beginPooled sets both for one transaction.
const beginPooled = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 3000`

// setUpConnection is called for each new connection of the pool.
func setUpConnection(ctx context.Context, conn *pgx.Conn) error {
	// The pool has no timeout here, and the connection counts in it meanwhile.
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

// postgresConnector returns connections of the pool, those through a pooler as pooledConn.
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

// pooledConn prepares no statements, and sets nothing that outlives a transaction. It sends a query together with its values, so
// that both reach the same connection of the pooler.
type pooledConn struct{ *stdlib.Conn }

func (c pooledConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.ExecContext(ctx, query, unprepared(args))
}

func (c pooledConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.QueryContext(ctx, query, unprepared(args))
}

// unprepared puts the driver's mode before the values: send them with the query.
func unprepared(args []driver.NamedValue) []driver.NamedValue {
	return append([]driver.NamedValue{{Value: pgx.QueryExecModeExec}}, args...)
}

// BeginTx begins a transaction of the one kind that is used here; it ignores the options.
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

// pooledTx commits and rolls back with the context of BeginTx, as the driver's own does.
type pooledTx struct {
	ctx context.Context //nolint:containedctx // database/sql hands it over at the beginning only
	tx  pgx.Tx
}

func (t pooledTx) Commit() error   { return t.tx.Commit(t.ctx) }
func (t pooledTx) Rollback() error { return t.tx.Rollback(t.ctx) }

// outdated reports whether a statement failed because its prepared form is outdated: a table has changed, or another server
// answers. It works when it is prepared again.
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
