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

// sameFileMaxAge is how old the answer of sameDatabase may be for a read: asking the system costs too much for each. Every
// write asks.
const sameFileMaxAge = 100 * time.Millisecond

// fileError is a sentence about a file that cannot be used. broken says that its content is lost or unknown.
type fileError struct {
	sentence string
	broken   bool
}

func (e fileError) Error() string { return e.sentence }

// sqliteFile is the file of a store, and its identity when it was opened. It notices that the file was replaced.
//
// Two things go wrong after a replacement:
//   - Open connections go on reading the old file: a key that is revoked in the new one stays accepted.
//   - SQLite finds the write-ahead log by its name: a new connection would read one file with the log of another.
//
// So all connections are opened at the start, a later one is refused if the file is another, and soon after a replacement
// reads fail. A file that is overwritten keeps its identity; then the incarnation in its header shows it.
type sqliteFile struct {
	path string
	// real is path without links: SQLite keeps its logs beside the file itself.
	real string
	held *heldFile

	began     time.Time
	looked    atomic.Int64 // time of the last check, since began
	gone      atomic.Bool
	following atomic.Bool   // the header is checked, too
	known     atomic.Uint32 // the last incarnation in the header
}

func newSQLiteFile(path string) (*sqliteFile, error) {
	held, err := hold(path)
	if err != nil {
		return nil, err
	}
	return &sqliteFile{path: path, real: withoutLinks(path), held: held, began: time.Now()}, nil
}

// withoutLinks resolves links. It returns path itself if there is no file.
func withoutLinks(path string) string {
	if found, err := filepath.EvalSymlinks(path); err == nil {
		return found
	}
	return path
}

// close releases the file; call it after the last connection is closed.
func (f *sqliteFile) close() error { return f.held.release() }

// follow makes sameDatabase check the header as well, now that the file is ready to be served.
func (f *sqliteFile) follow() {
	h, err := readHeader(f.held.file)
	if err == nil && h.logged {
		f.known.Store(h.incarnation)
		f.following.Store(true)
	}
}

// sameDatabase fails when the database file was replaced after it was opened: writes to it would be lost.
func (f *sqliteFile) sameDatabase() error {
	now, err := os.Stat(f.path)
	gone := err != nil || !os.SameFile(now, f.held.info) || f.following.Load() && f.overwritten()
	f.gone.Store(gone)
	if gone {
		return fileError{sentence: fmt.Sprintf("the store %s was removed or replaced while it was open", f.path)}
	}
	return nil
}

// overwritten reports whether the file has another content: it is no SQLite database in WAL mode, or has an incarnation that
// this store never had.
func (f *sqliteFile) overwritten() bool {
	h, err := readHeader(f.held.file)
	if err != nil {
		return false // SQLite will report it
	}
	if !h.logged {
		return true
	}
	if h.incarnation == f.known.Load() {
		return false
	}
	// Another server may have started on this store.
	if list, kept := readIncarnations(f.real); kept && !slices.Contains(list, h.incarnation) {
		return true
	}
	f.known.Store(h.incarnation)
	return false
}

// sameDatabaseCached is sameDatabase with an answer at most sameFileMaxAge old, as long as it was nil.
func (f *sqliteFile) sameDatabaseCached() error {
	now, before := int64(time.Since(f.began)), f.looked.Load()
	if f.gone.Load() || now-before >= int64(sameFileMaxAge) && f.looked.CompareAndSwap(before, now) {
		return f.sameDatabase()
	}
	return nil
}

// checkWhole lets SQLite look for damage. In mode ro it writes nothing, not even from the log, but SQLite does not check the
// CHECK constraints then.
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

// quickCheck returns the damage that SQLite finds in a database, "" for none.
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

// malformed is damage that stops SQLite's own check.
const malformed = "its structure is malformed"

func damaged(path, damage string) error {
	return fileError{broken: true, sentence: fmt.Sprintf(
		"the store %s is damaged (%s): keep a copy of it, and put a backup in its place with latchkey restore", path, damage)}
}

// fileConnector opens connections, all to the same file.
type fileConnector struct {
	driver.Connector

	file *sqliteFile
}

// Connect opens a connection and reads from it, because the first read opens the write-ahead log.
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
		_ = conn.Close() // the first error is the one to report
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
		// Kept until all are open, so that each is a new one.
		defer func() { err = errors.Join(err, conn.Close()) }()
	}
	return nil
}

// heldFile is a file that is kept open beside SQLite's connections, to read its header. While it is open, no new file can have
// its identity (the inode number). On POSIX, closing it drops all locks of this process on the file, SQLite's too. So a second
// store on the file shares it, and the last one closes it.
type heldFile struct {
	file  *os.File
	info  fs.FileInfo
	users int
}

//nolint:gochecknoglobals // POSIX locks belong to the process, and so does this list
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
