package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/latchkey-api/latchkey/fault"
)

// openTimeout is how long opening retries while another process uses the file. It is longer than the busy timeout for two
// reasons: on a slow disk another process's migration can take seconds, and two processes that change the journal mode of a
// new file at once fail without waiting for that timeout.
const (
	openTimeout = 10 * time.Second
	openPause   = 10 * time.Millisecond
)

// sqlitePath returns the absolute path in a store's URL. Errors do not show the URL: it may have a password.
func sqlitePath(storeURL string) (string, error) {
	scheme, path, _ := strings.Cut(storeURL, ":")
	switch {
	case scheme != "sqlite" || path == "" || strings.HasPrefix(path, "//") || strings.ContainsRune(path, 0):
		return "", errors.New("DATABASE_URL must be sqlite:<path>, as in sqlite:data/latchkey.db or sqlite:/data/latchkey.db, " +
			"or postgres://user:password@host/name")
	case path == ":memory:":
		return "", errors.New("DATABASE_URL must name a file: a database in memory is lost when the program stops")
	}
	return filepath.Abs(path)
}

// openSQLite creates, opens and migrates the file. One connection writes, so that writers queue here instead of in SQLite's
// busy loop. A pool of others reads meanwhile, which the write-ahead log allows.
func openSQLite(ctx context.Context, path string, o Options) (*database, []string, error) {
	file, err := openSQLiteFile(ctx, path, o)
	if err != nil {
		return nil, nil, err
	}
	r := newReserve(file, o)
	db, applied, err := connectSQLite(ctx, file, r, o)
	for err != nil && !o.Reading && r.freeSpace(err) {
		db, applied, err = connectSQLite(ctx, file, r, o)
	}
	if r.lacksRoom(err) {
		err = fmt.Errorf("the store %s cannot be opened: there is no room left on its disk", path)
	} else if err != nil {
		err = openingSentence(path, err)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.close())
	}
	return db, applied, nil
}

// connectSQLite opens the connections to the file, and migrates it.
func connectSQLite(ctx context.Context, file *sqliteFile, r *reserve, o Options) (_ *database, _ []string, err error) {
	var write, read *sql.DB
	defer func() {
		if err != nil {
			for _, pool := range []*sql.DB{read, write} {
				if pool != nil {
					err = errors.Join(err, pool.Close())
				}
			}
		}
	}()
	pragmas := []string{"synchronous(FULL)"}
	if o.Reading {
		pragmas = append(pragmas, "query_only(ON)")
	}
	if write, err = sqlitePool(file, "rw", 1, pragmas...); err != nil {
		return nil, nil, err
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	if read, err = sqlitePool(file, "rw", readers, "query_only(ON)"); err != nil {
		return nil, nil, err
	}
	done, err := prepareSQLite(ctx, file, write, o)
	if err != nil {
		return nil, nil, err
	}
	if err := retryBusy(ctx, func() error { return connectAll(ctx, read, readers) }); err != nil {
		return nil, nil, err
	}
	file.follow()
	if err := file.sameDatabase(); err != nil {
		return nil, nil, err
	}
	r.db = write
	return &database{
		read: read, readers: readers,
		write: write, writers: 1,
		classify:           classifySQLite,
		pages:              pagedQuery.forSQLite,
		schema:             done.newest,
		sameDatabase:       file.sameDatabase,
		sameDatabaseCached: file.sameDatabaseCached,
		reserve:            r,
		finish: func(ctx context.Context) error {
			if o.Reading {
				return nil
			}
			// Copy the log into the file; PASSIVE does not wait. Closing the last connection copies the rest and removes the log.
			// On a full disk the next start does it.
			if _, err := write.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil && !r.lacksRoom(err) {
				return err
			}
			return nil
		},
		closed: file.close,
	}, done.applied, nil
}

// openSQLiteFile creates the file, unless it must exist, and refuses one that SQLite would damage.
func openSQLiteFile(ctx context.Context, path string, o Options) (*sqliteFile, error) {
	if err := checkAbandonedLog(withoutLinks(path)); err != nil {
		return nil, err
	}
	if o.Existing || o.Reading {
		if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			return nil, noStoreAt(path)
		}
	} else if err := createFile(path); err != nil {
		return nil, unwritable(path, err)
	}
	file, err := newSQLiteFile(path)
	if err != nil {
		return nil, unwritable(path, err)
	}
	logged, err := file.checkLogs()
	if err == nil && logged && o.Serving {
		err = file.checkWhole(ctx, "ro")
	}
	if err != nil {
		return nil, errors.Join(openingSentence(path, err), file.close())
	}
	return file, nil
}

func noStoreAt(path string) error { return fmt.Errorf("%w at %s", ErrNoStore, path) }

// prepareSQLite migrates the store, and sets its journal mode and incarnation.
func prepareSQLite(ctx context.Context, file *sqliteFile, write *sql.DB, o Options) (done migrated, err error) {
	begin := "BEGIN IMMEDIATE"
	opening := o.opening()
	if o.Reading {
		begin = "BEGIN"
	} else {
		opening.prepare = func(ctx context.Context) error { return file.remember(ctx, write, o.Serving) }
	}
	err = retryBusy(ctx, func() (err error) {
		done, err = migrate(ctx, write, sqliteDialect(begin), opening)
		return err
	})
	if err != nil || o.Reading {
		return done, err
	}
	// The file keeps this mode, so it is set only after the file is known to be ours.
	err = retryBusy(ctx, func() error {
		_, err := write.ExecContext(ctx, "PRAGMA journal_mode = WAL")
		return err
	})
	if err == nil && o.Serving {
		err = file.renew(ctx, write)
	}
	return done, err
}

// sqliteDialect begins its transactions with the statement begin.
func sqliteDialect(begin string) dialect {
	return dialect{
		goose:  goose.DialectSQLite3,
		folder: "migrations/sqlite",
		begin: func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, begin)
			return err
		},
		tables: `SELECT count(*), count(*) FILTER (WHERE name = 'meta') FROM sqlite_schema
			WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`,
	}
}

// createFile creates the folder and an empty file, for their owner only; SQLite gives its journals the same mode. It does not
// open a file that exists: closing it would drop this process's locks on it.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// The umask may have removed even the owner's bits.
	return errors.Join(os.Chmod(path, 0o600), file.Close())
}

// createFresh creates a file, for its owner only. It removes whatever has the name, and follows no link: otherwise somebody who
// can write in the folder could make a service that runs as root write elsewhere.
func createFresh(path string) (*os.File, error) {
	if err := removeFiles(path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// sqlitePool has size connections and keeps them open. The file name is written as a URL, because only its escapes allow every
// character. A file that is gone is not created again.
func sqlitePool(file *sqliteFile, mode string, size int, pragmas ...string) (*sql.DB, error) {
	query := url.Values{
		"mode": {mode},
		// BEGIN takes the write lock, so that no transaction fails later because it cannot get it.
		"_txlock": {"immediate"},
		"_pragma": append([]string{"busy_timeout(2000)", "foreign_keys(ON)", "temp_store(MEMORY)"}, pragmas...),
	}
	path := filepath.ToSlash(file.path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/data/latchkey.db
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(fileConnector{connector, file})
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// retryBusy retries while another process uses the file. When ctx ends meanwhile, it returns the error of the busy file.
func retryBusy(ctx context.Context, try func() error) error {
	giveUp := time.Now().Add(openTimeout)
	var busy error
	for {
		err := try()
		if busy != nil && ctx.Err() != nil {
			return busy
		}
		if !isBusy(err) || time.Now().After(giveUp) {
			return err
		}
		busy = err
		select {
		case <-ctx.Done():
			return busy
		case <-time.After(openPause):
		}
	}
}

// sqliteCode is SQLite's primary result code, 0 for other errors.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// isReadError reports whether the disk failed to read. SQLite's other I/O errors are of writing: the disk may be full, or the
// user may lack the right.
func isReadError(err error) bool {
	e, _ := errors.AsType[*sqlite.Error](err)
	return e != nil && (e.Code() == sqlite3.SQLITE_IOERR_READ || e.Code() == sqlite3.SQLITE_IOERR_SHORT_READ)
}

func isDamage(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return false
}

func isBusy(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// classifySQLite decides by the result code, never by the text.
func classifySQLite(err error) fault.Code {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return fault.Internal
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fault.Conflict
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return fault.Unavailable
	}
	return fault.Internal
}

// openingSentence tells an operator why the file cannot be opened.
func openingSentence(path string, err error) error {
	if sentence, ok := errors.AsType[fileError](err); ok {
		return sentence
	}
	if errors.Is(err, ErrNoStore) {
		return noStoreAt(path)
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return unwritable(path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return fmt.Errorf("the store %s is locked by another process", path)
	case sqlite3.SQLITE_NOTADB:
		return fileError{broken: true, sentence: fmt.Sprintf("the store %s is not a SQLite database", path)}
	case sqlite3.SQLITE_CORRUPT:
		return damaged(path, malformed)
	}
	return fmt.Errorf("the store %s cannot be opened: %w", path, err)
}

// unwritable names the file, this process's user and the owners: what an operator needs to repair a volume. SQLite does not
// report why it could not write, so this tries again to get the system's reason.
func unwritable(path string, err error) error {
	if sentence, ok := errors.AsType[fileError](err); ok {
		return sentence
	}
	reason := "SQLite could not write it"
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		reason = failed.Err.Error()
	} else if err := errors.Join(writable(path), writable(filepath.Dir(path))); err != nil {
		reason, _, _ = strings.Cut(err.Error(), "\n")
	}
	return fmt.Errorf("the store %s cannot be written: %s%s", path, reason, ownership(path))
}
