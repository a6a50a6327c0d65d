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

// schemaMajor changes with a migration that older binaries cannot live with; that migration updates meta as well.
// Until then every migration only adds, so a binary serves all schemas of its major version that are not older than
// its own, and an upgrade can be rolled back.
const schemaMajor = "1"

// migrated tells what a migration did.
type migrated struct {
	// applied names the files that were applied, in order.
	applied []string
	// newest is the number of the newest migration in this binary; the schema may be newer.
	newest int64
}

// checkMajor refuses the schema of another major version.
func checkMajor(major string) error {
	if major == schemaMajor {
		return nil
	}
	return fmt.Errorf("its schema has major version %q, and this program serves major version %q", major, schemaMajor)
}

// dialect is what migrating differs in.
type dialect struct {
	goose  goose.Dialect
	folder string
	// begin opens a transaction that no other process has open at the same time.
	begin func(ctx context.Context, db *sql.DB) error
	// limit is how long anything but begin and the migrations may take; 0 for an engine that keeps its own limit.
	limit time.Duration
	// tables counts the tables there are, and those named meta.
	tables string
}

// migrate brings the schema up to date and settles the environment. All of it is one transaction that others wait for
// from its beginning, so that many processes may open one fresh store at once. goose opens no transaction of its own
// with WithIsolateDDL; db has a single connection, so what goose does happens inside of ours.
func migrate(ctx context.Context, db *sql.DB, d dialect, environment string) (done migrated, err error) {
	if err := d.begin(ctx, db); err != nil {
		return migrated{}, err
	}
	defer func() {
		if err != nil {
			// What failed is the news; a rollback that fails as well adds nothing, the connection is closed next.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
			defer cancel()
			_, _ = db.ExecContext(ctx, "ROLLBACK")
		}
	}()

	err = limited(ctx, d.limit, func(ctx context.Context) error { return checkOurs(ctx, db, d, environment) })
	if err != nil {
		return migrated{}, err
	}
	if done, err = up(ctx, d, db); err != nil {
		return migrated{}, err
	}
	err = limited(ctx, d.limit, func(ctx context.Context) error {
		const remember = `INSERT INTO meta (name, value) VALUES ('environment', $1) ON CONFLICT DO NOTHING`
		_, err := db.ExecContext(ctx, remember, environment)
		return err
	})
	if err != nil {
		return migrated{}, err
	}
	err = limited(ctx, d.limit, func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, "COMMIT")
		return err
	})
	return done, err
}

// limited does something for at most limit; 0 is no limit.
func limited(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return do(ctx)
}

// checkOurs refuses a database that is neither empty nor a store that this process may use.
func checkOurs(ctx context.Context, db *sql.DB, d dialect, environment string) error {
	var tables, meta int
	if err := db.QueryRowContext(ctx, d.tables).Scan(&tables, &meta); err != nil {
		return err
	}
	switch {
	case meta > 0:
		return checkMeta(ctx, db, environment)
	case tables > 0:
		return errors.New("it is the database of another program")
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
		return fmt.Errorf("it was made for %s, and this process runs for %s", made.String, environment)
	}
	return nil
}

// up applies what is pending. goose keeps no global state and logs nothing this way.
func up(ctx context.Context, d dialect, db *sql.DB) (migrated, error) {
	files, err := fs.Sub(migrations, d.folder)
	if err != nil {
		return migrated{}, err
	}
	provider, err := goose.NewProvider(d.goose, db, files,
		goose.WithIsolateDDL(true), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return migrated{}, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return migrated{}, err
	}
	var done migrated
	for _, source := range provider.ListSources() {
		done.newest = max(done.newest, source.Version)
	}
	for _, result := range results {
		done.applied = append(done.applied, path.Base(result.Source.Path))
	}
	return done, nil
}
