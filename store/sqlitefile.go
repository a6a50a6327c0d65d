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
	"sync/atomic"
	"time"
)

// lookEvery is how old the answer may be to the question whether the file is still in its place, for reads. They are too
// many to ask the system each time. Every write asks.
const lookEvery = 100 * time.Millisecond

// replacedError says that the path of the store no longer leads to the file that is open.
type replacedError struct{ path string }

func (e replacedError) Error() string {
	return fmt.Sprintf("the store %s was removed or replaced while it was open", e.path)
}

// sqliteFile is the file of a store, and which file it was when it was opened.
//
// A file that is replaced goes on to exist for the connections that have it open, and what is read from it looks well:
// a key that was revoked in the new file stays accepted. And SQLite finds the write-ahead log by its name, so a
// connection that is opened later would read one file with the log of another. So every connection is opened at the
// start, one that is opened later is refused unless it is on the same file, and reads fail soon after a replacement.
type sqliteFile struct {
	path   string
	opened fs.FileInfo

	began  time.Time
	looked atomic.Int64 // when the file was looked for, since began
	gone   atomic.Bool
}

func newSQLiteFile(path string) (*sqliteFile, error) {
	opened, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &sqliteFile{path: path, opened: opened, began: time.Now()}, nil
}

// present fails when path no longer leads to the file that is open: what is written to it would be lost.
func (f *sqliteFile) present() error {
	now, err := os.Stat(f.path)
	gone := err != nil || !os.SameFile(now, f.opened)
	f.gone.Store(gone)
	if gone {
		return replacedError{f.path}
	}
	return nil
}

// lately is present, with an answer that may be lookEvery old where all was well.
func (f *sqliteFile) lately() error {
	now, before := int64(time.Since(f.began)), f.looked.Load()
	if f.gone.Load() || now-before >= int64(lookEvery) && f.looked.CompareAndSwap(before, now) {
		return f.present()
	}
	return nil
}

// fileConnector opens connections to one file and no other.
type fileConnector struct {
	driver.Connector

	file *sqliteFile
}

// Connect opens a connection that is on the file. The first read opens the write-ahead log, so it is made here.
func (c fileConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.file.present(); err != nil {
		return nil, err
	}
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(firstRead(ctx, conn), c.file.present()); err != nil {
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
