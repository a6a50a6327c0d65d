// Package store keeps the resources, and implements keys.Store, with database/sql. Each resource has a file with its queries,
// which both engines share, with $1..$n placeholders. sqlite.go and postgres.go open the database and translate the errors of
// its driver.
//
// Methods that serve a request return faults:
//   - NotFound and Conflict;
//   - Unavailable while the store is locked, full, unreachable or closed, and after the caller's deadline;
//   - Timeout if that deadline ended the reading of a list;
//   - Internal, with the cause, for everything else.
//
// Open, Migrate and Backup are for an operator: their errors are plain sentences.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/latchkey-api/latchkey/fault"
)

// Options say which store to open.
type Options struct {
	// URL is one of:
	//   - sqlite:<path>, relative to the working directory or absolute. A question mark is part of the path.
	//   - postgres://user:password@host:port/name, with the parameters and environment variables (PGPASSFILE, PGSSLMODE) of
	//     libpq. The database must exist.
	URL string
	// Environment is "development" or "production". A store remembers the first one.
	Environment string
	// Existing fails with ErrNoStore if there is no store. Otherwise one is created.
	Existing bool
	// Reading is Existing for a caller that only reads: an older schema is refused, not migrated.
	Reading bool
	// Serving is for a server. It checks a SQLite file that was not closed properly, and gives the file a new incarnation.
	Serving bool
	// Logger gets what an operator should know about the open store. nil discards it.
	Logger *slog.Logger
}

// database is an engine that is open, with a current schema.
type database struct {
	// read and write may be the same pool. At most readers and writers operations run on them at once.
	read, write      *sql.DB
	readers, writers int
	// keyWriters of the writers are reserved for changes of keys and heartbeats, so that other writes do not delay these. 0 if
	// there is one writer: then at most one other write is ahead of them.
	keyWriters int
	// timeout is for one statement, with the wait for a connection; the caller's deadline may be sooner. After it the
	// connection is closed. 0 is for SQLite, which cannot hang for long: it waits two seconds for a lock at most. Its statements
	// ignore the caller's context, because a point read that can be cancelled costs 50 % more, and a statement that runs to its
	// end has a known result.
	timeout time.Duration
	// retryable reports whether the database rolled a transaction back in favour of another one (a deadlock, say).
	retryable func(error) bool
	// discardStale reports whether a statement failed because its connection keeps something outdated, such as a prepared
	// statement. If so, the next statement gets a new connection. nil if connections keep nothing.
	discardStale func(error) bool
	// classify is the fault code for an error of the driver; Internal for any other error.
	classify func(error) fault.Code
	// pages selects the engine's form of a list's query.
	pages func(pagedQuery) string
	// schema is the number of the newest migration in this binary.
	schema int64
	// sameDatabase fails if the database file was replaced after it was opened. sameDatabaseCached is cheap; its answer may be
	// a moment old. nil for PostgreSQL.
	sameDatabase, sameDatabaseCached func() error
	// reserve is disk space for when the disk is full; nil for none.
	reserve *reserve
	// listen is keys.Store's Listen; nil for an engine without notifications.
	listen func(ctx context.Context, heard func()) error
	// finish is called once, before the pools are closed; closed is called afterwards, nil for nothing.
	finish func(context.Context) error
	closed func() error
}

// Store is an open store. Its methods may be called from many goroutines.
type Store struct {
	applied        []string // the migrations, by opening
	db             *database
	reader, writer *pool
	lists          *pool // some slots of reader, so that lists do not delay other reads
	keyLookups     *pool // some slots of reader, for ids in requests that are not authenticated yet
	keyWriter      *pool // for changes of keys
	fleetWriter    *pool // in the slots of keyWriter, for heartbeats
	readiness      flight

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// closeTimeout is for each step of Close: the writes in flight, the reads, and its own last write.
const closeTimeout = time.Second

// Open creates the store if it does not exist, and migrates its schema. It refuses a store of the other environment or of
// another major version.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, _, err := open(ctx, o)
	return s, err
}

// Migrations names the migrations that Open applied, in order; none if the schema was current.
func (s *Store) Migrations() []string { return slices.Clone(s.applied) }

// Migrate migrates the schema as Open does, and closes the store. It returns the names of the migrations that it applied, in
// order; none if the schema was current.
func Migrate(ctx context.Context, o Options) ([]string, error) {
	s, applied, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	return applied, s.Close()
}

func open(ctx context.Context, o Options) (*Store, []string, error) {
	if o.Environment != "development" && o.Environment != "production" {
		return nil, nil, fmt.Errorf("a store is opened for development or for production, not for %q", o.Environment)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	db, applied, err := openDatabase(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	closing := make(chan struct{})
	s := &Store{
		db:      db,
		applied: applied,
		reader:  newPool(db.read, db.readers, closing),
		closing: closing,
	}
	s.lists = s.reader.withQueue(max(1, db.readers/4))
	s.lists.interrupt, s.lists.throttled = db.timeout == 0, o.Serving
	s.keyLookups = s.reader.withQueue(max(1, db.readers/2))
	if db.keyWriters > 0 {
		s.writer = newPool(db.write, db.writers-db.keyWriters, closing)
		s.keyWriter = newPool(db.write, db.keyWriters, closing)
	} else {
		s.keyWriter = newPool(db.write, db.writers, closing)
		s.writer = s.keyWriter.withQueue(1)
	}
	s.fleetWriter = s.keyWriter.sharingSlots()
	for p, leave := range map[*pool]int64{s.writer: reserveSize, s.fleetWriter: reserveForKeys, s.keyWriter: 0} {
		p.reserve, p.keepFree = db.reserve, leave
	}
	for _, p := range []*pool{s.reader, s.lists, s.keyLookups, s.writer, s.keyWriter, s.fleetWriter} {
		p.timeout, p.retryable, p.discardStale = db.timeout, db.retryable, db.discardStale
		p.sameDatabase, p.sameDatabaseCached = db.sameDatabase, db.sameDatabaseCached
	}
	return s, applied, nil
}

// openDatabase chooses the engine.
func openDatabase(ctx context.Context, o Options) (*database, []string, error) {
	if isPostgres(o.URL) {
		return openPostgres(ctx, o)
	}
	path, err := sqlitePath(o.URL)
	if err != nil {
		return nil, nil, err
	}
	return openSQLite(ctx, path, o)
}

// DiskFull reports whether the disk is full, so that only changes of keys are written. It is always false for PostgreSQL, where
// only failed writes show it.
func (s *Store) DiskFull() bool { return s.db.reserve != nil && s.db.reserve.full.Load() }

// Close refuses new operations, waits a moment for those in flight, and closes the store. A second call does nothing and returns
// the same error. If the file was replaced, Close does not write to the new one.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.keyWriter.drain(closeTimeout)
		if s.writer.slots != s.keyWriter.slots {
			s.writer.drain(closeTimeout)
		}
		s.reader.drain(closeTimeout)
		// If another file has replaced the store, closing the last connection would make SQLite write the log of the old file into
		// it, and remove the log. So the connections stay open until the process ends. The next start finds a log that does not
		// belong to the file.
		if s.db.sameDatabase == nil || s.db.sameDatabase() == nil {
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			defer cancel()
			s.closeErr = errors.Join(s.db.finish(ctx), s.db.read.Close(), s.db.write.Close())
		}
		if s.db.closed != nil {
			s.closeErr = errors.Join(s.closeErr, s.db.closed())
		}
	})
	return s.closeErr
}

// Listen calls heard once it listens, and then whenever keys or instances may have changed. It returns:
//   - nil when ctx ends, and at once for an engine without notifications;
//   - Unavailable when it cannot connect or loses the connection. Changes until the next call are not heard.
func (s *Store) Listen(ctx context.Context, heard func()) error {
	if s.db.listen == nil {
		return nil
	}
	err := s.db.listen(ctx, heard)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the caller ended it
	}
	return s.fault(err)
}

// read runs a query on a connection for reading.
func (s *Store) read(ctx context.Context, query string, use func(context.Context, statement) error) error {
	return s.fault(s.reader.run(ctx, query, use))
}

// write runs a statement on a connection for writing, and returns the number of rows written.
func (s *Store) write(ctx context.Context, query string, args ...any) (rows int64, err error) {
	err = s.writer.run(ctx, query, func(ctx context.Context, stmt statement) error {
		return s.writer.writeSameDatabase(ctx, func() error {
			return s.writer.retry(ctx, func() error {
				result, err := stmt.ExecContext(ctx, args...)
				if err != nil {
					return err
				}
				if s.db.reserve != nil {
					s.db.reserve.wrote(ctx, args)
				}
				rows, err = result.RowsAffected()
				return err
			})
		})
	})
	return rows, s.fault(err)
}

// fault wraps err with its fault code.
func (s *Store) fault(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound)
	}
	if _, replaced := errors.AsType[fileError](err); replaced {
		return fault.Wrap(fault.Unavailable, err)
	}
	if s.closed() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return fault.Wrap(fault.Unavailable, err)
	}
	return fault.Wrap(s.db.classify(err), err)
}

func (s *Store) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// newID returns an opaque id: 26 characters with 130 random bits, in the alphabet of ids in requests.
func newID() string { return strings.ToLower(rand.Text()) }

// storable reports whether every engine can store the texts. PostgreSQL takes neither NUL nor invalid UTF-8, so SQLite does not
// get them either.
func storable(texts ...string) bool {
	for _, text := range texts {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return false
		}
	}
	return true
}
