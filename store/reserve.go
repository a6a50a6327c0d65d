package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/latchkey-api/latchkey/fault"
)

// A leaked key must be revocable on a full disk. So a server keeps a file beside the store, the reserve, and gives its space
// to the store when needed.
//
// While the disk is full, only changes of keys and heartbeats are written. Most need no new space: after each of them a
// checkpoint copies the log into the file, and the next write starts the log again. A write that does need space gets a
// piece of the reserve. It is given in pieces, and only to a write in progress, because the program that filled the disk
// would take whatever is free.
//
// A server makes the reserve whole again once it finds room for twice its size: otherwise it might need it again at once.
const (
	reserveSuffix = "-reserve"
	reserveSize   = 1 << 20
	// reservePiece is more than one change of a key can need.
	reservePiece = reserveSize / 8
	// reserveForKeys is the part that only changes of keys may use.
	reserveForKeys = reserveSize / 2
	// reserveEvery is how often a server checks whether there is room again.
	reserveEvery = 2 * time.Second
)

var errDiskFull = errors.New("the disk of the store is full: only changes of keys are written until there is room again")

// reserve belongs to the holder of the one slot for writing; only full may be read at any time.
type reserve struct {
	file    *sqliteFile
	path    string
	db      *sql.DB // the connection that writes
	serving bool
	logger  *slog.Logger

	full     atomic.Bool
	begun    bool // there was a change of keys or a heartbeat
	reported bool // the last value of full that was logged
	warned   bool // it was logged that the file cannot be made for another reason
	lastLook time.Time
	// unemptied is how many bytes were written since wrote last emptied the log.
	unemptied int
}

func newReserve(file *sqliteFile, o Options) *reserve {
	return &reserve{file: file, path: file.real + reserveSuffix, serving: o.Serving, logger: o.Logger}
}

// write calls write, and gives it space from the reserve as long as leave bytes stay. A caller that leaves all of it is refused
// while the disk is full.
func (r *reserve) write(ctx context.Context, leave int64, write func() error) error {
	r.replenish(ctx)
	ordinary := leave >= reserveSize
	if ordinary && r.full.Load() {
		return fault.Wrap(fault.Unavailable, errDiskFull)
	}
	err := write()
	for r.lacksRoom(err) {
		r.full.Store(true)
		if ordinary {
			r.logFull()
			return fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %w", errDiskFull, err))
		}
		if !r.giveToLog(leave) {
			break
		}
		err = write()
	}
	if !ordinary {
		r.begun = true
	}
	r.logFull()
	if err == nil && r.full.Load() && !ordinary {
		r.emptyLog(ctx, leave)
	}
	return err
}

// wrote counts the bytes of a write. After many of them it checkpoints at once: on a full disk, copying a long log into the file
// could need more than the reserve.
func (r *reserve) wrote(ctx context.Context, args []any) {
	for _, arg := range args {
		if text, ok := arg.(string); ok {
			r.unemptied += len(text)
		}
	}
	if r.unemptied >= reservePiece {
		r.unemptied = 0
		r.emptyLog(ctx, reserveSize)
	}
}

// emptyLog copies the log into the file (a checkpoint), as far as readers allow, with space from the reserve for the file to
// grow. If that is too little, the log stays as it is: half a checkpoint would only need space. The log is durable in any case.
func (r *reserve) emptyLog(ctx context.Context, leave int64) {
	for r.full.Load() {
		growth, err := r.growth(ctx)
		if err == nil && growth == 0 {
			break
		}
		if err != nil {
			return
		}
		given, kept := r.give(leave, growth, r.file.held.file)
		if !given {
			return
		}
		if !kept {
			break // the space is free now, if no other program takes it
		}
	}
	_, err := r.db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	if r.lacksRoom(err) {
		r.full.Store(true)
	}
}

// growth is how much longer the file gets by a checkpoint.
func (r *reserve) growth(ctx context.Context) (int64, error) {
	var pages, pageSize int64
	err := r.db.QueryRowContext(ctx, "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size").
		Scan(&pages, &pageSize)
	return max(0, pages*pageSize-size(r.file.real)), err
}

// giveToLog gives a piece of the reserve to the log, if there is one.
func (r *reserve) giveToLog(leave int64) (given bool) {
	log, err := os.OpenFile(r.file.real+"-wal", os.O_WRONLY|noFollow, 0)
	if err != nil {
		given, _ = r.give(leave, reservePiece, nil)
		return given
	}
	given, _ = r.give(leave, reservePiece, log)
	_ = log.Close() // nothing was written
	return given
}

// give cuts bytes off the reserve, if leave bytes stay, and extends the file to by as much, before another program takes the
// space. The content of that file is not touched: another process may be writing to it. kept is false if the system cannot
// extend files.
func (r *reserve) give(leave, bytes int64, to *os.File) (given, kept bool) {
	left := size(r.path) - bytes
	if left < leave {
		return false, false
	}
	file, err := os.OpenFile(r.path, os.O_WRONLY|noFollow, 0)
	if err == nil {
		err = file.Truncate(left)
		if err == nil && to != nil {
			kept = !errors.Is(lengthen(to, bytes), errors.ErrUnsupported)
		}
		// Some file systems free the space only after a sync.
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err != nil {
		r.logger.Error("the reserve for a full disk cannot be used", "file", r.path, "error", err)
		return false, false
	}
	r.logger.Warn("a part of the reserve for a full disk was used", "file", r.path, "bytes_left", left)
	return true, kept
}

// lacksRoom reports whether err comes from a full disk. SQLite has a code for it only for the file itself. For its shared memory
// and for the user's quota it reports an I/O error, so this tries to write a file.
func (r *reserve) lacksRoom(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_FULL:
		return true
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return noRoom(r.room())
	}
	return false
}

// freeSpace frees space for opening, which needs some for the log and its shared memory. It reports whether to try again.
func (r *reserve) freeSpace(err error) bool {
	if !r.lacksRoom(err) {
		return false
	}
	r.full.Store(true)
	leave := int64(0)
	if r.serving {
		leave = reserveForKeys
	}
	given, _ := r.give(leave, reservePiece, nil)
	return given
}

// replenish makes the reserve of a server whole again if there is room.
func (r *reserve) replenish(ctx context.Context) {
	if !r.serving || !r.full.Load() && size(r.path) >= reserveSize {
		return
	}
	if now := time.Now(); now.Sub(r.lastLook) >= reserveEvery {
		r.lastLook = now
		// Locked, so that no other process finds the disk full while this file is tried.
		_ = locked(ctx, r.db, func() error {
			err := r.make()
			r.full.Store(noRoom(err))
			if err != nil && !noRoom(err) && !r.warned {
				r.warned = true
				r.logger.Warn("the reserve for a full disk cannot be made", "file", r.path, "error", err)
			}
			return nil
		})
	}
}

// logFull logs once that the disk is full, and once that it is not any more. It waits for the first heartbeat, so that this is not
// the first line of a server's log.
func (r *reserve) logFull() {
	full := r.full.Load()
	if !r.begun || full == r.reported {
		return
	}
	r.reported = full
	if full {
		r.logger.Error("the disk of the store is full: only changes of keys are written until there is room again", "store", r.file.path)
	} else {
		r.logger.Info("there is room on the disk of the store again", "store", r.file.path)
	}
}

// make makes the file whole, if there is room.
func (r *reserve) make() error {
	name, err := r.try(".new", func(file *os.File) error {
		return errors.Join(file.Truncate(reserveSize), adopt(file, r.file.held.info))
	})
	if err == nil {
		err = os.Rename(name, r.path)
	}
	if err != nil {
		return errors.Join(err, remove(name))
	}
	return syncFolder(filepath.Dir(name))
}

// room is nil if there is room for the file.
func (r *reserve) room() error {
	name, err := r.try(".test", func(*os.File) error { return nil })
	return errors.Join(err, remove(name))
}

// try writes a file of twice the size, and calls then with it. Its content is random, so that no file system compresses it.
func (r *reserve) try(suffix string, then func(*os.File) error) (name string, err error) {
	name = r.path + suffix
	file, err := createFresh(name)
	if err != nil {
		return name, err
	}
	_, err = io.CopyN(file, rand.Reader, 2*reserveSize)
	if err = errors.Join(err, file.Sync()); err == nil {
		err = then(file)
	}
	return name, errors.Join(err, file.Close())
}

func remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
