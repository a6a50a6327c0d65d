package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// current is the store to replace.
type current struct {
	path string
	file *sqliteFile
	made bool // there was none before

	// db and conn are nil if it cannot be read.
	db   *sql.DB
	conn *sql.Conn
	// enabled are the keys that it accepts.
	enabled map[string]bool

	locked, placed bool
}

// inUse is the error for a store that another process has open.
func inUse(path string) error {
	return fmt.Errorf("the store %s is in use: stop the server, and every other latchkey command, first", path)
}

// holdCurrent locks the store, so that nobody opens it before it is replaced.
func holdCurrent(path string, revive bool) (_ *current, err error) {
	c := &current{path: path}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if !revive {
			return nil, withoutKeys(noStoreAt(path))
		}
		c.made = true // an empty file to lock, which is no store
	}
	if err := createFile(path); err != nil {
		return nil, unwritable(path, err)
	}
	if c.file, err = newSQLiteFile(path); err != nil {
		return nil, unwritable(path, err)
	}
	if err := c.lock(); err != nil {
		return nil, errors.Join(err, c.leave())
	}
	return c, nil
}

func withoutKeys(why error) error {
	return fmt.Errorf("%w; without its keys, the restore would bring keys back that were revoked after the backup: "+
		"--revive takes the keys of the backup all the same", why)
}

func (c *current) lock() error {
	alone, err := lockAlone(c.file.held.file)
	if err == nil && !alone {
		return inUse(c.path)
	}
	c.locked = err == nil
	return err
}

// open prepares the store for reading. A store that cannot be read is an error; with revive it is only locked.
func (c *current) open(ctx context.Context, environment string, revive bool) error {
	err := c.prepare(ctx, environment)
	switch {
	case err == nil:
		return nil
	case isBusy(err):
		return inUse(c.path)
	case !isUnreadable(err):
		return openingSentence(c.path, err)
	case !revive:
		return withoutKeys(openingSentence(c.path, err))
	}
	// SQLite's connections have dropped the lock.
	return errors.Join(c.closeConnections(), c.lock())
}

// isUnreadable reports whether the content of the store is lost. It is false for a store that is locked or forbidden, and for a
// file that is no store of ours.
func isUnreadable(err error) bool {
	file, _ := errors.AsType[fileError](err)
	_, major := errors.AsType[majorError](err)
	return file.broken || major || errors.Is(err, ErrNoStore) || isDamage(err) || isReadError(err)
}

func (c *current) prepare(ctx context.Context, environment string) error {
	if size(c.path) == 0 {
		return ErrNoStore
	}
	logged, err := c.file.checkLogs()
	mode := "rw"
	if logged {
		mode = "ro"
	}
	if err == nil {
		err = c.file.checkWhole(ctx, mode)
	}
	if err == nil {
		c.db, err = sqlitePool(c.file, "rw", 1, "synchronous(FULL)")
	}
	if err == nil {
		err = retryBusy(ctx, func() error {
			opening := opening{environment: environment, existing: true}
			opening.prepare = func(ctx context.Context) error { return c.file.remember(ctx, c.db, false) }
			_, err := migrate(ctx, c.db, sqliteDialect("BEGIN IMMEDIATE"), opening)
			return err
		})
	}
	if err == nil {
		err = c.lockOut(ctx)
	}
	return err
}

// lockOut copies the log into the file, removes it durably, and locks every other process out.
func (c *current) lockOut(ctx context.Context) (err error) {
	if c.conn, err = c.db.Conn(ctx); err != nil {
		return err
	}
	// SQLite does not sync the removal of the log. If it is back after a power failure, it must be empty.
	if _, err := c.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	if size(c.path+"-wal") == 0 {
		if err := syncFile(c.path + "-wal"); err != nil {
			return err
		}
	}
	mode := ""
	if err := c.conn.QueryRowContext(ctx, "PRAGMA journal_mode = DELETE").Scan(&mode); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(c.path)); err != nil {
		return err
	}
	// The connection keeps its next lock. Nothing is written after this, so that there is no journal.
	const keep = "PRAGMA main.locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE"
	if _, err := c.conn.ExecContext(ctx, keep); err != nil {
		return err
	}
	if err := c.conn.QueryRowContext(ctx, "PRAGMA main.journal_mode").Scan(&mode); err != nil {
		return err
	}
	if err := c.file.sameDatabase(); err != nil {
		return err
	}
	if mode != "delete" {
		return inUse(c.path) // another process was faster
	}
	_, err = c.conn.ExecContext(ctx, "COMMIT")
	return err
}

// replace replaces the store with the file at path.
func (c *current) replace(path string) (err error) {
	if err := c.giveOwnerAndMode(path); err != nil {
		return fmt.Errorf("the new store cannot be given the owner and the mode of %s: %w", c.path, reasonOf(err))
	}
	if err := syncFile(path); err != nil {
		return err
	}
	// Only a store that could not be read still has logs. SQLite would apply an old journal to the new store, so it goes first;
	// it is as broken as the old store.
	before, after := []string{c.path + "-journal"}, []string{c.path + "-wal", c.path + "-shm"}
	if movesOpenFiles {
		// A server may start at once. Its log must not be removed as the old one.
		release, err := lockFile(path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, release()) }()
	} else {
		if err := errors.Join(c.closeConnections(), c.file.close()); err != nil {
			return err
		}
		c.file, before, after = nil, append(before, after...), nil
	}
	if err := removeFiles(before...); err != nil {
		return err
	}
	if err := os.Rename(path, c.path); err != nil {
		return fmt.Errorf("the store %s cannot be replaced: %w", c.path, reasonOf(err))
	}
	c.placed = true
	// A kill here leaves a log. The next start refuses it, because the new file is in rollback mode.
	return errors.Join(removeFiles(after...), syncFolder(filepath.Dir(c.path)))
}

// giveOwnerAndMode gives the file at path the owner and the mode of the store. If there was no store, it gets the owner of the folder, who
// runs the service. A link is refused.
func (c *current) giveOwnerAndMode(path string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR|noFollow, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if !c.made {
		return adopt(file, c.file.held.info)
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	return adoptOwner(file, folder)
}

// lockFile locks every other process out of a file.
func lockFile(path string) (release func() error, err error) {
	file, err := newSQLiteFile(path)
	if err != nil {
		return nil, err
	}
	if _, err := lockAlone(file.held.file); err != nil {
		return nil, errors.Join(err, file.close())
	}
	return file.close, nil
}

// leave gives the store up, and removes the empty file where there is no store.
func (c *current) leave() error {
	err := c.closeConnections()
	if c.made && c.locked && !c.placed && size(c.path) == 0 {
		err = errors.Join(err, removeFiles(c.path))
	}
	if c.file != nil {
		err = errors.Join(err, c.file.close())
	}
	return err
}

func (c *current) closeConnections() error {
	var err error
	if c.conn != nil {
		err = c.conn.Close()
		if errors.Is(err, sql.ErrConnDone) {
			err = nil
		}
	}
	if c.db != nil {
		err = errors.Join(err, c.db.Close())
	}
	c.db, c.conn = nil, nil
	return err
}

// syncFile makes what was written to a file durable.
func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
