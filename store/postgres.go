package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/latchkey-api/latchkey/fault"
)

const (
	postgresConnections = 16
	// postgresWriters leaves connections for reads, which wait for no locks.
	postgresWriters = 12
	// postgresKeyWriters is small: changes of keys wait for each other anyway.
	postgresKeyWriters = 2
	// postgresTimeout is for connecting, and for each statement with the wait for its connection. It is on this side, because a
	// server that hangs does not end a statement.
	postgresTimeout = 2 * time.Second
	// postgresPing is the timeout for the check of an idle connection. It leaves time to try another one.
	postgresPing = 500 * time.Millisecond
	// postgresMigrating is how long opening waits for another process's migration.
	postgresMigrating = time.Minute
)

func isPostgres(storeURL string) bool {
	return strings.HasPrefix(storeURL, "postgres://") || strings.HasPrefix(storeURL, "postgresql://")
}

// openPostgres migrates the database and makes the pool.
func openPostgres(ctx context.Context, o Options) (*database, []string, error) {
	config, err := postgresConfig(o.URL)
	if err != nil {
		return nil, nil, err
	}
	done, err := migratePostgres(ctx, config.ConnConfig, o.opening())
	if err != nil {
		return nil, nil, postgresSentence(config.ConnConfig, err)
	}
	connections, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, postgresSentence(config.ConnConfig, err)
	}
	// A session that began while the database was read-only stays read-only.
	replace := atMost(time.Second, connections.Reset)
	db := sql.OpenDB(postgresConnector{stdlib.GetPoolConnector(connections)})
	db.SetMaxIdleConns(0) // the pool keeps them
	return &database{
		read: db, readers: postgresConnections,
		write: db, writers: postgresWriters, keyWriters: postgresKeyWriters,
		timeout:   postgresTimeout,
		retryable: rolledBack,
		discardStale: func(err error) bool {
			if !outdated(err) {
				return false
			}
			// The other connections have prepared the same statements.
			connections.Reset()
			return true
		},
		classify: func(err error) fault.Code {
			if sqlState(err) == "25006" { // read_only_sql_transaction
				replace()
			}
			return classifyPostgres(err)
		},
		pages:  pagedQuery.forPostgres,
		schema: done.newest,
		listen: func(ctx context.Context, heard func()) error {
			return listenPostgres(ctx, config.ConnConfig, o.Logger, heard)
		},
		finish: func(ctx context.Context) error {
			closed := make(chan struct{})
			go func() {
				connections.Close()
				close(closed)
			}()
			// Statements that still run end at their timeout; nobody waits for them.
			select {
			case <-closed:
			case <-ctx.Done():
			}
			return nil
		},
	}, done.applied, nil
}

// atMost returns a function that calls do at most once in a period.
func atMost(period time.Duration, do func()) func() {
	var last atomic.Int64
	began := time.Now()
	return func() {
		now, before := int64(time.Since(began)+period), last.Load()
		if now-before >= int64(period) && last.CompareAndSwap(before, now) {
			do()
		}
	}
}

// postgresConfig reads the URL. Errors show neither the URL nor the driver's error: both may have a password.
func postgresConfig(storeURL string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(storeURL)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("DATABASE_URL names a file that cannot be read: %w", failed)
	}
	if err != nil {
		return nil, parseFault(storeURL)
	}
	if _, err := applyParameters(config.ConnConfig); err != nil {
		return nil, err
	}
	if config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return nil, errors.New("DATABASE_URL asks for the simple protocol, which is not supported: it writes values into the text of queries")
	}
	config.MaxConns = postgresConnections
	config.PingTimeout = postgresPing
	config.ConnConfig.ConnectTimeout = postgresTimeout
	if _, named := config.ConnConfig.RuntimeParams["application_name"]; !named {
		config.ConnConfig.RuntimeParams["application_name"] = "latchkey"
	}
	config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	config.AfterConnect = setUpConnection
	cancelSoon(config)
	return config, nil
}

// cancelSoon shortens what the driver does after a statement's timeout: it asks the server on a second connection to cancel the
// statement, and waits up to 15 s for the first connection to end, which keeps its place in the pool. After a failover the old
// server answers on neither, and the new one would get no connections.
func cancelSoon(config *pgxpool.Config) {
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		end := time.Now().Add(postgresTimeout)
		ctx, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn, conn.SetDeadline(end)
	}
	// The driver calls this for every connection except those that cancel.
	config.ConnConfig.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		return conn, conn.SetDeadline(time.Time{})
	}
	config.BeforeClose = func(conn *pgx.Conn) {
		if !conn.IsClosed() {
			return // it is healthy, and leaves the pool for another reason
		}
		select {
		case <-conn.PgConn().CleanupDone():
		case <-time.After(postgresPing):
			_ = conn.PgConn().Conn().Close()
		}
	}
}

// migratePostgres migrates on a connection of its own, which it closes. Migrations may take longer than postgresTimeout: only ctx
// ends them.
func migratePostgres(ctx context.Context, config *pgx.ConnConfig, o opening) (migrated, error) {
	// A pooler keeps one transaction on one connection, but prepared statements would stay on it afterwards.
	unprepared := *config
	unprepared.DefaultQueryExecMode = pgx.QueryExecModeExec
	// The configuration has postgresTimeout for each address.
	conn, err := stdlib.GetConnector(unprepared).Connect(ctx)
	if err != nil {
		return migrated{}, err
	}
	db := sql.OpenDB(&onlyConn{conn: conn})
	db.SetMaxOpenConns(1)
	defer func() {
		// The transaction has ended, whatever the errors are. database/sql closes only connections that it has used.
		_ = db.Close()
		_ = conn.Close()
	}()
	return migrate(ctx, db, postgresDialect(), o)
}

// onlyConn returns its connection once, so that a transaction never continues on another connection.
type onlyConn struct{ conn driver.Conn }

func (o *onlyConn) Connect(context.Context) (driver.Conn, error) {
	conn, ok := o.conn.(*stdlib.Conn)
	if !ok {
		return nil, errors.New("the connection was lost")
	}
	o.conn = nil
	return keptConn{conn}, nil
}

func (*onlyConn) Driver() driver.Driver { return stdlib.GetDefaultDriver() }

// keptConn lets database/sql run one statement after the other while a transaction is open.
type keptConn struct{ *stdlib.Conn }

// ResetSession does nothing.
func (keptConn) ResetSession(context.Context) error { return nil }

func postgresDialect() dialect {
	return dialect{
		goose:   goose.DialectPostgres,
		folder:  "migrations/postgres",
		begin:   beginPostgres,
		timeout: postgresTimeout,
		tables: `SELECT count(*), count(*) FILTER (WHERE tablename = 'meta') FROM pg_catalog.pg_tables
			WHERE schemaname = current_schema()`,
	}
}

// beginPostgres waits until no other process migrates this database. Its lock ends with the transaction. READ COMMITTED, because
// later statements must see what was committed during the wait.
func beginPostgres(ctx context.Context, db *sql.DB) error {
	err := withTimeout(ctx, postgresTimeout, func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED")
		return err
	})
	if err == nil {
		err = lockPostgres(ctx, db)
	}
	if err == nil {
		err = withTimeout(ctx, postgresTimeout, func(ctx context.Context) error { return checkDatabase(ctx, db) })
	}
	return err
}

// lockPostgres polls for the lock. A statement that waited for it could not distinguish a long migration from a lost server.
func lockPostgres(ctx context.Context, db *sql.DB) error {
	const lock = 0x6c617463686b6579 // "latchkey"
	for giveUp := time.Now().Add(postgresMigrating); ; {
		var locked bool
		err := withTimeout(ctx, postgresTimeout, func(ctx context.Context) error {
			return db.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", int64(lock)).Scan(&locked)
		})
		if err != nil || locked {
			return err
		}
		if time.Now().After(giveUp) {
			return errors.New("another process has been migrating it for a minute")
		}
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// checkDatabase refuses a database that cannot hold our schema.
func checkDatabase(ctx context.Context, db *sql.DB) error {
	const ask = `SELECT current_setting('server_encoding'), coalesce(current_schema(), ''), current_user,
		coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) OR to_regclass('meta') IS NOT NULL`
	var encoding, schema, user string
	var home bool
	if err := db.QueryRowContext(ctx, ask).Scan(&encoding, &schema, &user, &home); err != nil {
		return err
	}
	switch {
	case encoding != "UTF8":
		return fmt.Errorf("its encoding is %s, and it must be UTF8", encoding)
	case schema == "":
		return errors.New("none of the schemas in its search_path exists")
	case !home:
		return fmt.Errorf("the user %s may not create tables in its schema %s", user, schema)
	}
	return nil
}

// sqlState is the server's code of an error, "" for other errors.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// rolledBack reports whether the server rolled a transaction back because of a concurrent one.
func rolledBack(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return true
	}
	return false
}

// classifyPostgres decides by the SQLSTATE of the server. Without one, the connection failed, or the error is not the driver's.
func classifyPostgres(err error) fault.Code {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return fault.Unavailable
	}
	if outdated(err) {
		return fault.Unavailable
	}
	state := sqlState(err)
	switch state {
	case "":
		if connectionLost(err) {
			return fault.Unavailable
		}
		return fault.Internal
	case "23505": // unique_violation
		return fault.Conflict
	case "54000", // transaction ids are used up: no writes until a vacuum
		"55P03", "57014", // lock_not_available, query_canceled
		"25006", "25P03", "25P04": // read_only_sql_transaction, and the server's timeouts of transactions
		return fault.Unavailable
	}
	// The connection, a transaction that was rolled back (see rolledBack), resources, the server's end, its system.
	for _, class := range []string{"08", "40", "53", "57P", "58"} {
		if strings.HasPrefix(state, class) {
			return fault.Unavailable
		}
	}
	return fault.Internal
}

// connectionLost reports whether err means that a connection ended or a timeout passed.
func connectionLost(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.Timeout(err) || pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// postgresSentence tells an operator, in one line, which database cannot be opened, and why.
func postgresSentence(config *pgx.ConnConfig, err error) error {
	server := config.Host
	if !strings.HasPrefix(server, "/") { // a folder with a socket
		server = net.JoinHostPort(server, strconv.Itoa(int(config.Port)))
	}
	if errors.Is(err, ErrNoStore) {
		return fmt.Errorf("%w in the database %q on the PostgreSQL server %s", ErrNoStore, config.Database, server)
	}
	return fmt.Errorf("the store %q on the PostgreSQL server %s cannot be opened: %s", config.Database, server, postgresReason(err))
}

func postgresReason(err error) string {
	if reported, ok := errors.AsType[*pgconn.PgError](err); ok {
		return reported.Message
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) {
		return "it does not answer in time"
	}
	if failed, ok := errors.AsType[*net.DNSError](err); ok {
		return "its name cannot be looked up: " + failed.Err // without the address of the resolver
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return failed.Err.Error()
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
