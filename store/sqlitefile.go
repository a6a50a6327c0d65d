package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how old the answer may be to the question whether the file is still in its place, for reads. They are too
// many to ask the system each time. Every write asks.
const sameFileMaxAge = 100 * time.Millisecond

// fileError is a sentence about the file of a store that cannot be used as it is. broken says that what is in it cannot be
// told, or not any more.
type fileError struct {
	sentence string
	broken   bool
}

func (e fileError) Error() string { return e.sentence }

// sqliteFile is the file of a store, and which file it was when it was opened.
//
// A file that is replaced goes on to exist for the connections that have it open, and what is read from it looks well:
// a key that was revoked in the new file stays accepted. And SQLite finds the write-ahead log by its name, so a
// connection that is opened later would read one file with the log of another. So every connection is opened at the
// start, one that is opened later is refused unless it is on the same file, and reads fail soon after a replacement. A
// file that is overwritten in its place is the same file; then its header tells.
type sqliteFile struct {
	path string
	// real is path without links: SQLite keeps its logs beside the file itself.
	real string
	held *heldFile

	began     time.Time
	looked    atomic.Int64 // when the file was looked for, since began
	gone      atomic.Bool
	following atomic.Bool   // the header is looked at, too
	known     atomic.Uint32 // the incarnation that the header had
}

func newSQLiteFile(path string) (*sqliteFile, error) {
	held, err := hold(path)
	if err != nil {
		return nil, err
	}
	return &sqliteFile{path: path, real: withoutLinks(path), held: held, began: time.Now()}, nil
}

// withoutLinks is path itself where nothing is there.
func withoutLinks(path string) string {
	if found, err := filepath.EvalSymlinks(path); err == nil {
		return found
	}
	return path
}

// close lets go of the file, after the last connection.
func (f *sqliteFile) close() error { return f.held.release() }

// follow makes present look at the header, too, from now on: the file is in the state in which it is served.
func (f *sqliteFile) follow() {
	h, err := readHeader(f.held.file)
	if err == nil && h.logged {
		f.known.Store(h.incarnation)
		f.following.Store(true)
	}
}

// present fails when path no longer leads to the file that is open, as it was opened: what is written to it would be lost.
func (f *sqliteFile) sameDatabase() error {
	now, err := os.Stat(f.path)
	gone := err != nil || !os.SameFile(now, f.held.info) || f.following.Load() && f.overwritten()
	f.gone.Store(gone)
	if gone {
		return fileError{sentence: fmt.Sprintf("the store %s was removed or replaced while it was open", f.path)}
	}
	return nil
}

// overwritten reports whether something else stands in the file: one that is no SQLite database in the mode of ours, or has
// an incarnation that was never this store's.
func (f *sqliteFile) overwritten() bool {
	h, err := readHeader(f.held.file)
	if err != nil {
		return false // SQLite will say so
	}
	if !h.logged {
		return true
	}
	if h.incarnation == f.known.Load() {
		return false
	}
	// Another server may have begun.
	if list, kept := readIncarnations(f.real); kept && !slices.Contains(list, h.incarnation) {
		return true
	}
	f.known.Store(h.incarnation)
	return false
}

// lately is present, with an answer that may be lookEvery old where all was well.
func (f *sqliteFile) sameDatabaseCached() error {
	now, before := int64(time.Since(f.began)), f.looked.Load()
	if f.gone.Load() || now-before >= int64(sameFileMaxAge) && f.looked.CompareAndSwap(before, now) {
		return f.sameDatabase()
	}
	return nil
}

// checkWhole asks SQLite whether the file is damaged. In mode ro nothing is written to it, whatever the log holds;
// but SQLite leaves out the CHECK constraints then.
func (f *sqliteFile) checkWhole(ctx context.Context, mode string) (err error) {
	db, err := sqlitePool(f, mode, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var damage string
	err = retryBusy(ctx, func() (err error) {
		damage, err = quickCheck(ctx, db)
		return err
	})
	if err == nil && damage != "" {
		return damaged(f.path, damage)
	}
	return err
}

// quickCheck says what is wrong with a database, "" where SQLite finds nothing.
func quickCheck(ctx context.Context, db *sql.DB) (damage string, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&damage)
	switch {
	case isDamage(err):
		return malformed, nil
	case err != nil || damage == "ok":
		return "", err
	default:
		return strings.Join(strings.Fields(damage), " "), nil
	}
}

// malformed is the damage that keeps SQLite from looking for damage.
const malformed = "its structure is malformed"

func damaged(path, damage string) error {
	return fileError{broken: true, sentence: fmt.Sprintf(
		"the store %s is damaged (%s): keep a copy of it, and put a backup in its place with latchkey restore", path, damage)}
}

// fileConnector opens connections to one file and no other.
type fileConnector struct {
	driver.Connector

	file *sqliteFile
}

// Connect opens a connection that is on the file. The first read opens the write-ahead log, so it is made here.
func (c fileConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.file.sameDatabase(); err != nil {
		return nil, err
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	err = firstRead(ctx, conn)
	if err == nil {
		err = c.file.sameDatabase()
	}
	if err != nil {
		_ = conn.Close() // why it cannot be used is the news
		return nil, err
	}
	return conn, nil
}

func firstRead(ctx context.Context, conn driver.Conn) error {
	queryer, ok := conn.(driver.QueryerContext)
	if !ok {
		return driver.ErrSkip
	}
	rows, err := queryer.QueryContext(ctx, "SELECT count(*) FROM sqlite_schema", nil)
	if err != nil {
		return err
	}
	err = rows.Next(make([]driver.Value, 1))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

// connectAll opens every connection of a pool.
func connectAll(ctx context.Context, db *sql.DB, size int) (err error) {
	for range size {
		conn, connErr := db.Conn(ctx)
		if connErr != nil {
			return connErr
		}
		// All are held until the last one is open, so that each is another one.
		defer func() { err = errors.Join(err, conn.Close()) }()
	}
	return nil
}

// heldFile is a file that is open beside SQLite's own connections, to read its header. As long as it is open, no other
// file is taken for it. Closing it drops the locks that this process has on the file, SQLite's too (POSIX has it so):
// whoever opens a file a second time shares it, and the last one closes it.
type heldFile struct {
	file  *os.File
	info  fs.FileInfo
	users int
}

//nolint:gochecknoglobals // POSIX has one set of locks a process, so there is one list of files a process
var holding struct {
	sync.Mutex

	files []*heldFile
}

func hold(path string) (*heldFile, error) {
	holding.Lock()
	defer holding.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	for _, h := range holding.files {
		if os.SameFile(h.info, info) {
			h.users++
			return h, nil
		}
	}
	if !info.Mode().IsRegular() {
		return nil, fileError{sentence: fmt.Sprintf("the store %s is no file: DATABASE_URL names the file itself, as in sqlite:data/latchkey.db", path)}
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	h := &heldFile{file, info, 1}
	holding.files = append(holding.files, h)
	return h, nil
}

func (h *heldFile) release() error {
	holding.Lock()
	defer holding.Unlock()
	if h.users--; h.users > 0 {
		return nil
	}
	holding.files = slices.DeleteFunc(holding.files, func(other *heldFile) bool { return other == h })
	return h.file.Close()
}
