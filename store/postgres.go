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
	// postgresWriters leaves connections for reading: writes may wait for each other's locks, reads wait for nothing.
	postgresWriters = 12
	// postgresLimit is for connecting, and for each statement together with getting a connection for it. It is kept on
	// this side, because a server that hangs keeps no limit of its own.
	postgresLimit = 2 * time.Second
	// postgresPing is how long a connection that was idle may take to show that it still leads to the server. It leaves
	// time to take another one.
	postgresPing = 500 * time.Millisecond
	// postgresMigrating is how long opening waits for another process that migrates.
	postgresMigrating = time.Minute
)

func isPostgres(storeURL string) bool {
	return strings.HasPrefix(storeURL, "postgres://") || strings.HasPrefix(storeURL, "postgresql://")
}

// openPostgres migrates the database and makes the pool.
func openPostgres(ctx context.Context, storeURL, environment string) (*database, []string, error) {
	config, err := postgresConfig(storeURL)
	if err != nil {
		return nil, nil, err
	}
	done, err := migratePostgres(ctx, config.ConnConfig, environment)
	if err != nil {
		return nil, nil, postgresSentence(config.ConnConfig, err)
	}
	connections, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, postgresSentence(config.ConnConfig, err)
	}
	db := stdlib.OpenDBFromPool(connections)
	return &database{
		read: db, readers: postgresConnections,
		write: db, writers: postgresWriters,
		limit:    postgresLimit,
		repeat:   disturbed,
		classify: classifyPostgres,
		schema:   done.newest,
		present:  func() error { return nil },
		finish: func(ctx context.Context) error {
			closed := make(chan struct{})
			go func() {
				connections.Close()
				close(closed)
			}()
			// What is still running ends by its own limit; nobody waits for its answer.
			select {
			case <-closed:
			case <-ctx.Done():
			}
			return nil
		},
	}, done.applied, nil
}

// postgresConfig reads the URL. Errors do not repeat it, nor what the driver says of it: both may hold a password.
func postgresConfig(storeURL string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(storeURL)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("DATABASE_URL names a file that cannot be read: %w", failed)
	}
	if err != nil {
		return nil, errors.New("DATABASE_URL must be postgres://user:password@host:port/name, with parameters that PostgreSQL knows")
	}
	if config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return nil, errors.New("DATABASE_URL asks for the simple protocol, which writes values into the text of queries")
	}
	config.MaxConns = postgresConnections
	config.PingTimeout = postgresPing
	config.ConnConfig.ConnectTimeout = postgresLimit
	if _, named := config.ConnConfig.RuntimeParams["application_name"]; !named {
		config.ConnConfig.RuntimeParams["application_name"] = "latchkey"
	}
	return config, nil
}

// migratePostgres migrates on a connection of its own, which it closes. Migrating may take longer than a statement that
// serves a request, so only ctx limits it.
func migratePostgres(ctx context.Context, config *pgx.ConnConfig, environment string) (migrated, error) {
	connecting, cancel := context.WithTimeout(ctx, postgresLimit)
	defer cancel()
	conn, err := stdlib.GetConnector(*config).Connect(connecting)
	if err != nil {
		return migrated{}, err
	}
	db := sql.OpenDB(&onlyConn{conn: conn})
	db.SetMaxOpenConns(1)
	defer func() {
		// Whatever they say, the transaction has ended. database/sql closes only what it has used.
		_ = db.Close()
		_ = conn.Close()
	}()
	return migrate(ctx, db, postgresDialect(), environment)
}

// onlyConn hands its connection out once: what one began in a transaction, another must not finish.
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

// keptConn may be used by database/sql for one statement after the other although a transaction is open on it.
type keptConn struct{ *stdlib.Conn }

// ResetSession lets everything be as it is.
func (keptConn) ResetSession(context.Context) error { return nil }

func postgresDialect() dialect {
	return dialect{
		goose:  goose.DialectPostgres,
		folder: "migrations/postgres",
		begin:  beginPostgres,
		tables: `SELECT count(*), count(*) FILTER (WHERE tablename = 'meta') FROM pg_catalog.pg_tables
			WHERE schemaname = current_schema()`,
	}
}

// beginPostgres waits until no other process migrates this database. The lock is given back when the transaction ends,
// however it ends. Each statement after it has to see what was committed while it waited.
func beginPostgres(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, postgresMigrating)
	defer cancel()
	const lock = 0x6c617463686b6579 // "latchkey"
	if _, err := db.ExecContext(waiting, "SELECT pg_advisory_xact_lock($1)", int64(lock)); err != nil {
		if waiting.Err() != nil && ctx.Err() == nil {
			return errors.New("another process has been migrating it for a minute")
		}
		return err
	}
	return checkHome(ctx, db)
}

// checkHome refuses a database in which no schema of ours could be.
func checkHome(ctx context.Context, db *sql.DB) error {
	const ask = `SELECT current_setting('server_encoding'), coalesce(current_schema(), ''), current_user,
		coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) OR to_regclass('meta') IS NOT NULL`
	var encoding, schema, user string
	var home bool
	if err := db.QueryRowContext(ctx, ask).Scan(&encoding, &schema, &user, &home); err != nil {
		return err
	}
	switch {
	case encoding != "UTF8":
		return fmt.Errorf("its encoding is %s, and texts need UTF8", encoding)
	case schema == "":
		return errors.New("none of the schemas in its search_path exists")
	case !home:
		return fmt.Errorf("the user %s may not create tables in its schema %s", user, schema)
	}
	return nil
}

// sqlState is the code of an error that the server reports, "" where err does not come from it.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// disturbed reports whether the server rolled a transaction back because it ran beside another one.
func disturbed(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return true
	}
	return false
}

// classifyPostgres goes by the SQLSTATE that the server reports. Where it reports none, the connection failed, or it was
// not the driver's fault.
func classifyPostgres(err error) fault.Code {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
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
	case "40001", "40P01", // see disturbed
		"55P03", "57014", // lock_not_available, query_canceled
		"25006", "25P03", "25P04": // read_only_sql_transaction, and a time limit of the server for transactions
		return fault.Unavailable
	}
	for _, class := range []string{"08", "53", "57P", "58"} { // the connection, resources, the server's end, its system
		if strings.HasPrefix(state, class) {
			return fault.Unavailable
		}
	}
	return fault.Internal
}

// connectionLost reports whether err is what is left to say when a connection ends or a limit passes.
func connectionLost(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.Timeout(err) || pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// postgresSentence says to an operator, in one line, which database could not be opened and why.
func postgresSentence(config *pgx.ConnConfig, err error) error {
	server := config.Host
	if !strings.HasPrefix(server, "/") { // a folder with a socket
		server = net.JoinHostPort(server, strconv.Itoa(int(config.Port)))
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
