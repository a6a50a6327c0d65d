package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// schemaMajor changes with a migration that breaks older binaries; that migration also updates meta. All others only add. So a
// binary serves its own schema and newer ones of the same major version, and an upgrade can be rolled back.
const schemaMajor = "1"

// migrated is the result of migrate.
type migrated struct {
	// applied are the names of the files that were applied, in order.
	applied []string
	// newest is the number of the newest migration in this binary; the schema may be newer.
	newest int64
}

// checkMajor refuses the schema of another major version.
func checkMajor(major string) error {
	if major == schemaMajor {
		return nil
	}
	return majorError{major}
}

// majorError says that a store has another major version.
type majorError struct{ made string }

func (e majorError) Error() string {
	return fmt.Sprintf("its schema has major version %q, and this program serves major version %q", e.made, schemaMajor)
}

// environmentError says that a store was made for another environment.
type environmentError struct{ made, runs string }

func (e environmentError) Error() string {
	return fmt.Sprintf("it was made for %s, and this process runs for %s: set APP_ENV=%[1]s, or give this process a DATABASE_URL of its own", e.made, e.runs)
}

// dialect is what differs between the engines in migrate.
type dialect struct {
	goose  goose.Dialect
	folder string
	// begin opens a transaction that no other process has open at the same time.
	begin func(ctx context.Context, db *sql.DB) error
	// timeout is for everything but begin and the migrations; 0 for an engine with a timeout of its own.
	timeout time.Duration
	// tables is a query that counts all tables, and those named meta.
	tables string
}

// opening is how a store is opened; see Options.
type opening struct {
	environment       string
	existing, reading bool
	// prepare runs in the transaction before anything is written; nil for nothing.
	prepare func(context.Context) error
}

func (o Options) opening() opening {
	return opening{environment: o.Environment, existing: o.Existing, reading: o.Reading}
}

// ErrNoStore says that there is nothing to open.
var ErrNoStore = errors.New("there is no store")

var errForeign = errors.New("it is the database of another program")

// migrate migrates the schema and stores the environment, in one transaction that locks other processes out from its beginning.
// So many processes may open one new store at once. With WithIsolateDDL goose begins no transactions; db has a single
// connection, so goose works in ours.
func migrate(ctx context.Context, db *sql.DB, d dialect, o opening) (done migrated, err error) {
	if err := d.begin(ctx, db); err != nil {
		return migrated{}, err
	}
	defer func() {
		if err != nil {
			// The first error is the one to report, not that of the rollback. The connection is closed next.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			_, _ = db.ExecContext(ctx, "ROLLBACK")
		}
	}()

	err = withTimeout(ctx, d.timeout, func(ctx context.Context) error { return checkOurs(ctx, db, d, o) })
	if err == nil && o.prepare != nil {
		err = o.prepare(ctx)
	}
	if err != nil {
		return migrated{}, err
	}
	provider, err := newProvider(d, db)
	if err != nil {
		return migrated{}, err
	}
	for _, source := range provider.ListSources() {
		done.newest = max(done.newest, source.Version)
	}
	if o.reading {
		err = withTimeout(ctx, d.timeout, func(ctx context.Context) error { return checkNew(ctx, db, done.newest) })
		if err != nil {
			return migrated{}, err
		}
		_, err = db.ExecContext(ctx, "ROLLBACK")
		return done, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return migrated{}, err
	}
	for _, result := range results {
		done.applied = append(done.applied, path.Base(result.Source.Path))
	}
	err = withTimeout(ctx, d.timeout, func(ctx context.Context) error {
		const remember = `INSERT INTO meta (name, value) VALUES ('environment', $1) ON CONFLICT DO NOTHING`
		_, err := db.ExecContext(ctx, remember, o.environment)
		return err
	})
	if err != nil {
		return migrated{}, err
	}
	err = withTimeout(ctx, d.timeout, func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, "COMMIT")
		return err
	})
	return done, err
}

// withTimeout calls do with a timeout; 0 is none.
func withTimeout(ctx context.Context, timeout time.Duration, do func(context.Context) error) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return do(ctx)
}

// checkOurs refuses a database that is not a store of this environment and version. An empty one is fine if it may be made.
func checkOurs(ctx context.Context, db *sql.DB, d dialect, o opening) error {
	var tables, meta int
	if err := db.QueryRowContext(ctx, d.tables).Scan(&tables, &meta); err != nil {
		return err
	}
	switch {
	case meta > 0:
		return checkMeta(ctx, db, o.environment)
	case tables > 0:
		return errForeign
	case o.existing || o.reading:
		return ErrNoStore
	}
	return nil
}

// checkMeta refuses a store of another major version or of the other environment.
func checkMeta(ctx context.Context, db *sql.DB, environment string) error {
	var major, made sql.NullString
	const remembered = `SELECT (SELECT value FROM meta WHERE name = 'schema_major'),
		(SELECT value FROM meta WHERE name = 'environment')`
	if err := db.QueryRowContext(ctx, remembered).Scan(&major, &made); err != nil {
		return err
	}
	if err := checkMajor(major.String); err != nil {
		return err
	}
	if made.Valid && made.String != environment {
		return environmentError{made.String, environment}
	}
	return nil
}

// schemaVersion is the number of the newest migration in the store.
func schemaVersion(ctx context.Context, db *sql.DB) (version int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version").Scan(&version)
	return version, err
}

// checkNew refuses a schema that needs a migration.
func checkNew(ctx context.Context, db *sql.DB, newest int64) error {
	version, err := schemaVersion(ctx, db)
	if err == nil && version < newest {
		err = fmt.Errorf("its schema has version %d, and this program needs %d: latchkey migrate brings it up to date", version, newest)
	}
	return err
}

// newProvider is goose with our migrations, without global state or logs.
func newProvider(d dialect, db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, d.folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(d.goose, db, files,
		goose.WithIsolateDDL(true), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}
