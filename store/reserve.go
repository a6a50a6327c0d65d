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

// A full disk must not keep a leaked key in use. So a server keeps a file beside the store whose room can be given to it.
//
// While the disk is full, only changes of keys and what instances say of themselves are written. They mostly need no room:
// after each of them the log is brought into the file, so that the next one begins at the start of the log again. What
// does need room gets a piece of the reserve. It is given up in pieces, and only where a write is under way that needs one,
// because whatever has filled the disk goes on, and takes what is free.
//
// A server makes it again, whole, when it finds room for twice as much: a store that needs its last megabyte would need it
// again at once.
const (
	reserveSuffix = "-reserve"
	reserveSize   = 1 << 20
	// reservePiece is more than one change of a key can need.
	reservePiece = reserveSize / 8
	// reserveForKeys is what is given for nothing but changes of keys.
	reserveForKeys = reserveSize / 2
	// reserveEvery is how often a server looks whether there is room again.
	reserveEvery = 2 * time.Second
)

var errDiskFull = errors.New("the disk of the store is full: only changes of keys are written until there is room again")

// reserve is used by whoever has the one place for writing; only full may be read at any time.
type reserve struct {
	file    *sqliteFile
	path    string
	db      *sql.DB // the connection that writes
	serving bool
	logger  *slog.Logger

	full   atomic.Bool
	begun  bool // there was a write that is no ordinary one
	said   bool // what the log says of full
	warned bool // that the file cannot be made, for another reason
	looked time.Time
	// unemptied is the size of what was written since the log was emptied for that reason.
	unemptied int
}

func newReserve(file *sqliteFile, o Options) *reserve {
	return &reserve{file: file, path: file.real + reserveSuffix, serving: o.Serving, logger: o.Logger}
}

// write writes, with as much of the reserve as may be taken: leave of it stays. Who leaves all of it is refused while the
// disk is full.
func (r *reserve) write(ctx context.Context, leave int64, write func() error) error {
	r.look(ctx)
	ordinary := leave >= reserveSize
	if ordinary && r.full.Load() {
		return fault.Wrap(fault.Unavailable, errDiskFull)
	}
	err := write()
	for r.lacksRoom(err) {
		r.full.Store(true)
		if ordinary {
			r.say()
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
	r.say()
	if err == nil && r.full.Load() && !ordinary {
		r.emptyLog(ctx, leave)
	}
	return err
}

// wrote notes the size of what was written. A log that would make the file much longer is brought into it at once: on a
// full disk that could take more than there is in the reserve.
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

// emptyLog brings the log into the file, as far as readers allow. What the file needs to
// become longer is given to it, and where that is too much the log stays: a part of it in the file would only take room.
// What is in the log is durable in any case.
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
			break // and there may be enough, if nobody was faster
		}
	}
	_, err := r.db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	if r.lacksRoom(err) {
		r.full.Store(true)
	}
}

// growth is by how much the file gets longer when the log is brought into it.
func (r *reserve) growth(ctx context.Context) (int64, error) {
	var pages, pageSize int64
	err := r.db.QueryRowContext(ctx, "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size").
		Scan(&pages, &pageSize)
	return max(0, pages*pageSize-size(r.file.real)), err
}

// giveToLog makes the log longer, where there is one.
func (r *reserve) giveToLog(leave int64) (given bool) {
	log, err := os.OpenFile(r.file.real+"-wal", os.O_WRONLY|noFollow, 0)
	if err != nil {
		given, _ = r.give(leave, reservePiece, nil)
		return given
	}
	given, _ = r.give(leave, reservePiece, log)
	_ = log.Close() // nothing was written to it
	return given
}

// give gives up so much of the reserve, if there is as much. The file that it is for gets it at the same moment, but for
// what others were faster to take; what is in that file is not touched, because another process may be writing to it.
// kept is false where the system cannot do that.
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
		// Some file systems give the room back only when this is on the disk.
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err != nil {
		r.logger.Error("the reserve for a full disk cannot be used", "file", r.path, "error", err)
		return false, false
	}
	r.logger.Warn("a part of the reserve for a full disk was used", "file", r.path, "bytes_left", left)
	return true, kept
}

// lacksRoom reports whether err is one of a full disk. SQLite says so of the file alone: where its shared memory finds no
// room, or the user's quota is used up, it reports the error of a disk.
func (r *reserve) lacksRoom(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_FULL:
		return true
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return noRoom(r.room())
	}
	return false
}

// makeWay is for opening, which needs room for the log and its shared memory. It reports whether to try again.
func (r *reserve) makeWay(err error) bool {
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

// look lets a server make the reserve whole again, where there is room.
func (r *reserve) look(ctx context.Context) {
	if !r.serving || !r.full.Load() && size(r.path) >= reserveSize {
		return
	}
	if now := time.Now(); now.Sub(r.looked) >= reserveEvery {
		r.looked = now
		// Nobody else may find the disk full just because this takes all that is left.
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

// say tells the log once when the disk is full, and when it is not any more. The first line of a server is another one, so
// that this waits for its first heartbeat.
func (r *reserve) say() {
	full := r.full.Load()
	if !r.begun || full == r.said {
		return
	}
	r.said = full
	if full {
		r.logger.Error("the disk of the store is full: only changes of keys are written until there is room again", "store", r.file.path)
	} else {
		r.logger.Info("there is room on the disk of the store again", "store", r.file.path)
	}
}

// make makes the file whole, where there is room for it.
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

// room is nil where there is room for the file.
func (r *reserve) room() error {
	name, err := r.try(".test", func(*os.File) error { return nil })
	return errors.Join(err, remove(name))
}

// try writes a file of twice the size, and does with it what then does. What is in it does not shrink on a disk that compresses.
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
