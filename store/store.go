// Package store is database/sql behind the resources and behind keys.Store. Queries are written once, with $1..$n
// placeholders, in one file for each resource; what differs between databases stands apart: sqlite.go and postgres.go
// open and translate the driver's errors.
//
// Every method that serves a request answers with a fault error: NotFound, Conflict, Unavailable while the store is
// locked, full, unreachable or closed or the caller's time is over, Timeout where that ended the reading of a list, and
// Internal, with its cause, for anything else.
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
	// URL is sqlite:<path>, relative to the working directory or absolute, where everything after the colon is the path:
	// a question mark in it is part of the name. Or it is postgres://user:password@host:port/name, with the parameters
	// and the environment variables (PGPASSFILE, PGSSLMODE) that libpq knows; that database must be there.
	URL string
	// Environment is "development" or "production". A store remembers the one that opened it first.
	Environment string
	// Existing refuses to open a store that is not there, with ErrNoStore; without it, one is made.
	Existing bool
	// Reading is Existing for one who only reads: the schema is not brought up to date either, an older one is refused.
	Reading bool
	// Serving is for a server, which has the time to look at a SQLite file that was not closed well, and gives the file a new
	// incarnation.
	Serving bool
	// Logger is told what an operator should know of the open store; nil for nobody.
	Logger *slog.Logger
}

// database is what an engine hands over once it is open and its schema is current.
type database struct {
	// read and write may be the same pool. They serve at most readers and writers operations at once.
	read, write      *sql.DB
	readers, writers int
	// keyWriters of the writers are only for changes of keys and for what instances say of themselves, so that no crowd of
	// others makes these wait. 0 where there is one writer: of all others, at most one is before them.
	keyWriters int
	// limit is how long a statement may take, waiting for a connection included; the caller's deadline may be sooner. When
	// it is over, the connection is given up. 0 is for an engine that cannot hang for long: its statements run to their
	// end and do not even see the caller's context, because one that can be cancelled costs SQLite half as much again
	// for a point read, and one that cannot always tells what happened. A lock is waited for two seconds at most.
	limit time.Duration
	// repeat reports whether the database ended a transaction for the sake of another one, so that it may be tried again.
	repeat func(error) bool
	// renew reports whether a statement failed only because of what its connection had kept from before, and sees to it that
	// the next one is tried on a fresh connection; nil where connections keep nothing that can be outdated.
	renew func(error) bool
	// classify says what an error of the driver means to a caller; Internal where it is not the driver's.
	classify func(error) fault.Code
	// pages chooses the engine's form of the query of a list.
	pages func(pagedQuery) string
	// schema is the number of the newest migration that this binary knows.
	schema int64
	// present fails when what was opened is no longer what new connections would find. lately gives the same answer, or one
	// that is a moment old, and costs next to nothing; nil where what was opened is always what is found.
	present, lately func() error
	// reserve is what is kept for a full disk; nil where nothing is.
	reserve *reserve
	// listen is keys.Store's Listen; nil for an engine that tells nobody.
	listen func(ctx context.Context, heard func()) error
	// finish does what must be done before the pools are closed; it is called once. closed does what must be done afterwards,
	// nil for nothing.
	finish func(context.Context) error
	closed func() error
}

// Store is an open store. Its methods may be called from many goroutines.
type Store struct {
	applied        []string // the migrations, by opening
	db             *database
	reader, writer *pool
	lister         *pool // some places of reader, so that no crowd that reads lists makes other reads wait
	finder         *pool // some as well, for keys that strangers may have made up
	keyWriter      *pool // for changes of keys
	fleetWriter    *pool // in the places of keyWriter, for what instances say of themselves
	readiness      flight

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// closePatience is how long Close waits for the writes in flight, for the reads, and for the last write of its own.
const closePatience = time.Second

// Open makes the store if it does not exist, brings its schema up to date, and refuses one that was made for the
// other environment or by another major version.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, _, err := open(ctx, o)
	return s, err
}

// Migrations names the migrations that opening the store applied, in order; none where the schema was current.
func (s *Store) Migrations() []string { return slices.Clone(s.applied) }

// Migrate does what Open does to the schema, closes the store again, and names the migrations it applied, in order.
// None means that the schema was current.
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
	s.lister = s.reader.behind(max(1, db.readers/4))
	s.lister.interrupt, s.lister.rests = db.limit == 0, o.Serving
	s.finder = s.reader.behind(max(1, db.readers/2))
	if db.keyWriters > 0 {
		s.writer = newPool(db.write, db.writers-db.keyWriters, closing)
		s.keyWriter = newPool(db.write, db.keyWriters, closing)
	} else {
		s.keyWriter = newPool(db.write, db.writers, closing)
		s.writer = s.keyWriter.behind(1)
	}
	s.fleetWriter = s.keyWriter.beside()
	for p, leave := range map[*pool]int64{s.writer: reserveSize, s.fleetWriter: reserveForKeys, s.keyWriter: 0} {
		p.reserve, p.leave = db.reserve, leave
	}
	for _, p := range []*pool{s.reader, s.lister, s.finder, s.writer, s.keyWriter, s.fleetWriter} {
		p.limit, p.repeat, p.renew = db.limit, db.repeat, db.renew
		p.present, p.lately = db.present, db.lately
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

// DiskFull reports whether the disk of the store is full, so that only changes of keys are written. A server of PostgreSQL
// says so only by refusing.
func (s *Store) DiskFull() bool { return s.db.reserve != nil && s.db.reserve.full.Load() }

// Close lets the operations in flight end, for a moment, refuses new ones, and closes the store. Calling it again
// does nothing more and gives the same answer. It writes nothing into a file that is not the one that was opened.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.keyWriter.drain(closePatience)
		if s.writer.places != s.keyWriter.places {
			s.writer.drain(closePatience)
		}
		s.reader.drain(closePatience)
		// Where another file stands in the place of the store, SQLite would write the log of the old one into it when the last
		// connection is closed, and remove the log. So the connections are left to the end of the process, and the next start
		// finds a log that does not belong to the file.
		if s.db.present == nil || s.db.present() == nil {
			ctx, cancel := context.WithTimeout(context.Background(), closePatience)
			defer cancel()
			s.closeErr = errors.Join(s.db.finish(ctx), s.db.read.Close(), s.db.write.Close())
		}
		if s.db.closed != nil {
			s.closeErr = errors.Join(s.closeErr, s.db.closed())
		}
	})
	return s.closeErr
}

// Listen calls heard when it begins to listen to the store, and then whenever keys or instances may have changed. It
// returns nil when ctx ends, or where the engine tells nobody, and Unavailable when the connection cannot be made or is
// lost: what happens until it is called again is not heard.
func (s *Store) Listen(ctx context.Context, heard func()) error {
	if s.db.listen == nil {
		return nil
	}
	err := s.db.listen(ctx, heard)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end, and did
	}
	return s.fault(err)
}

// read runs a prepared query on a connection for reading.
func (s *Store) read(ctx context.Context, query string, use func(context.Context, statement) error) error {
	return s.fault(s.reader.run(ctx, query, use))
}

// write runs a prepared statement on a connection for writing and gives the number of rows it wrote.
func (s *Store) write(ctx context.Context, query string, args ...any) (rows int64, err error) {
	err = s.writer.run(ctx, query, func(ctx context.Context, stmt statement) error {
		return s.writer.inPlace(ctx, func() error {
			return s.writer.repeatedly(ctx, func() error {
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

// fault gives err the code that the caller sees.
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

// newID makes an opaque id: 26 characters, 130 random bits, of the alphabet that ids in requests have.
func newID() string { return strings.ToLower(rand.Text()) }

// storable reports whether every engine can hold the texts: PostgreSQL takes neither NUL nor invalid UTF-8, so no row
// has them in any engine.
func storable(texts ...string) bool {
	for _, text := range texts {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return false
		}
	}
	return true
}
