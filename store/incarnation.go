package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A write-ahead log does not name the file that it belongs to. SQLite plays it back into whatever file has the name, and
// can call the mixture well: rows of the log come back, others are lost. It happens when a server is killed and a copy is
// put in the place of its file. What tells that a log is foreign:
//
//   - The file is in rollback mode (bytes 18 and 19 of its header). What latchkey backup and restore write is, and a store
//     leaves that mode, durably, before its log has a byte.
//   - The incarnation in the header of the file (SQLite's user_version) is not among those in the file beside it, whose
//     name ends in -incarnation. Each start of a server takes a new one, and brings it from the log into the file.
//
// Every moment must be one in which the server can be killed. So the file beside the store first gets the new incarnation
// in addition, then the store has it, and when it has certainly arrived in the file, the others are taken off the list.
// Several servers may begin at once: the list is only changed by who has SQLite's write lock, and only made shorter by
// who sees that the store still has the incarnation that it had brought in.
//
// What is not found: a copy of the file alone that was made while the last server to start was running, or after, if the
// log left behind is younger and SQLite finds no damage; a copy of the file together with the file beside it; and a copy
// where the file beside it is missing. latchkey backup makes none of these.
const incarnationSuffix = "-incarnation"

// maxIncarnations bounds the list where it cannot be made shorter.
const maxIncarnations = 16

// sqliteHeader is what the beginning of a file says.
type sqliteHeader struct {
	sqlite bool
	// logged says that the file may have a write-ahead log.
	logged      bool
	incarnation uint32
}

func readHeader(from io.ReaderAt) (sqliteHeader, error) {
	var b [100]byte
	if n, err := from.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return sqliteHeader{}, err
	} else if n < len(b) || string(b[:16]) != "SQLite format 3\x00" {
		return sqliteHeader{}, nil
	}
	return sqliteHeader{sqlite: true, logged: b[18] == 2 && b[19] == 2, incarnation: binary.BigEndian.Uint32(b[60:])}, nil
}

// checkLogs refuses logs that are not the file's own, and reports whether there is one.
func (f *sqliteFile) checkLogs() (logged bool, err error) {
	const tries = 10
	for try := 1; ; try++ {
		// In this order: what the log and the list say was in the file before.
		list, kept := readIncarnations(f.real)
		wal, journal := size(f.real+"-wal"), size(f.real+"-journal")
		h, err := readHeader(f.held.file)
		if err != nil {
			return false, err
		}
		other := h.sqlite && kept && !slices.Contains(list, h.incarnation)
		var suffix string
		switch {
		case wal > 0 && (!h.logged || other):
			suffix = "-wal"
		case journal > 0 && other:
			suffix = "-journal"
		default:
			return wal > 0, nil
		}
		// Another process may be changing all of it.
		again, _ := readIncarnations(f.real)
		if slices.Equal(list, again) && size(f.real+suffix) > 0 || try == tries {
			return true, foreignLog(f.real, suffix)
		}
		time.Sleep(openPause)
	}
}

// checkAbandonedLog refuses a log whose file is not there: SQLite would delete it.
func checkAbandonedLog(path string) error {
	if size(path) <= 0 && size(path+"-wal") > 0 {
		return foreignLog(path, "-wal")
	}
	return nil
}

func foreignLog(path, suffix string) error {
	log := path + suffix
	if suffix == "-wal" {
		log += " and " + path + "-shm"
	}
	return fileError{broken: true, sentence: fmt.Sprintf("the store %[1]s does not belong to the log beside it, %[2]s, which would damage it. "+
		"If another file was put in its place: move that file away, remove %[3]s, and put it back with latchkey restore --revive, "+
		"which names every key that it enables again (without it, keys that were revoked since are accepted without a word). "+
		"If the store and the log were copied together: remove %[4]s", path, path+suffix, log, path+incarnationSuffix)}
}

// size is that of a file, -1 where there is none.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// readIncarnations reads the list beside the store; kept is false where there is none, or none that can be read.
func readIncarnations(path string) (list []uint32, kept bool) {
	text, err := os.ReadFile(path + incarnationSuffix)
	if err != nil {
		return nil, false
	}
	for line := range strings.Lines(string(text)) {
		n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 32)
		if err != nil || len(list) > maxIncarnations {
			return nil, false
		}
		list = append(list, uint32(n))
	}
	return list, len(list) > 0
}

// writeIncarnations replaces the list. It is on the disk when this returns nil.
func (f *sqliteFile) writeIncarnations(list []uint32) (err error) {
	var text strings.Builder
	for _, n := range list {
		fmt.Fprintf(&text, "%08x\n", n)
	}
	name := f.real + incarnationSuffix
	file, err := createFresh(name + ".new")
	if err != nil {
		return err
	}
	_, err = file.WriteString(text.String())
	if err = errors.Join(err, adopt(file, f.held.info), file.Sync(), file.Close()); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	return syncFolder(filepath.Dir(name))
}

// remember makes sure that the list has the incarnation of the store, before anything is written to a log. The caller has
// the write lock. create makes a list where there is none.
func (f *sqliteFile) remember(ctx context.Context, db *sql.DB, create bool) error {
	current, err := incarnation(ctx, db)
	if err != nil {
		return err
	}
	list, kept := readIncarnations(f.real)
	if kept && slices.Contains(list, current) || !kept && !create {
		return nil
	}
	if size(f.real+"-wal") <= 0 {
		list = nil // the store is what its file is
	}
	if err := f.writeIncarnations(append(list, current)); err != nil {
		// The disk may be full, which must not stop a server. A list that is wrong would, later.
		if err := os.Remove(f.real + incarnationSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// renew gives the store a new incarnation. One that cannot be given, as on a full disk, stays the old one.
func (f *sqliteFile) renew(ctx context.Context, db *sql.DB) error {
	next := rand.Uint32() //nolint:gosec // it need not be hard to guess
	renewed := false
	err := locked(ctx, db, func() error {
		current, err := incarnation(ctx, db)
		if err != nil {
			return err
		}
		list, kept := readIncarnations(f.real)
		if !kept || !slices.Contains(list, current) || len(list) >= maxIncarnations {
			return nil
		}
		if err := f.writeIncarnations(append(list, next)); err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(int(int32(next)))) //nolint:gosec // the same bits
		renewed = err == nil
		return err
	})
	if err != nil || !renewed {
		return ctx.Err()
	}
	var busy, frames, done int
	err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &done)
	if err != nil || busy != 0 || frames != done {
		return ctx.Err() // somebody reads; the next start makes the list shorter
	}
	_ = locked(ctx, db, func() error {
		current, err := incarnation(ctx, db)
		if err != nil || current != next {
			return err
		}
		return f.writeIncarnations([]uint32{next})
	})
	return ctx.Err()
}

func incarnation(ctx context.Context, db *sql.DB) (uint32, error) {
	var version int32
	err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return uint32(version), err //nolint:gosec // the same bits
}

// locked does something while no other process writes to the store. db has a single connection.
func locked(ctx context.Context, db *sql.DB, do func() error) error {
	if _, err := db.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := do()
	if err == nil {
		_, err = db.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_, _ = db.ExecContext(ctx, "ROLLBACK") // after a failed commit too; what failed is the news
	}
	return err
}
