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

// A write-ahead log does not say to which file it belongs: SQLite applies it to any file with the right name. If a server is
// killed and a copy is put in the place of its file, the result is a mixture of both, which SQLite may not notice. A log is
// foreign if one of these is true:
//
//   - The file is in rollback mode (bytes 18 and 19 of its header). latchkey backup and restore write such files, and a store
//     leaves that mode, durably, before its log has a byte.
//   - The incarnation in the header of the file (SQLite's user_version) is not in the list beside the file, whose name ends
//     in -incarnation. Each start of a server takes a new incarnation and checkpoints it from the log into the file.
//
// The server may be killed at any moment. So the order is: add the new incarnation to the list; write it to the store; once
// it is certainly in the file, remove the others from the list. Several servers may start at once: only the holder of
// SQLite's write lock changes the list, and it removes others only if the store still has the incarnation that it wrote.
//
// Not detected are:
//   - a copy of the file alone, made after the last start of a server, if the log is newer and SQLite finds no damage;
//   - a copy of the file together with the list;
//   - a copy where the list is missing.
//
// latchkey backup makes none of these.
const incarnationSuffix = "-incarnation"

// maxIncarnations bounds the list when no checkpoint succeeds.
const maxIncarnations = 16

// sqliteHeader is the header of a file.
type sqliteHeader struct {
	sqlite bool
	// logged says that the file is in WAL mode.
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

// checkLogs refuses the log of another file, and reports whether there is a log.
func (f *sqliteFile) checkLogs() (logged bool, err error) {
	const tries = 10
	for try := 1; ; try++ {
		// In this order, so that the header is the newest of the three.
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
		// Another process may be changing these files: look again.
		again, _ := readIncarnations(f.real)
		if slices.Equal(list, again) && size(f.real+suffix) > 0 || try == tries {
			return true, foreignLog(f.real, suffix)
		}
		time.Sleep(openPause)
	}
}

// checkAbandonedLog refuses a log without its file: SQLite would delete it.
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

// size is the size of a file, -1 if there is none.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// readIncarnations reads the list beside the store; kept is false if it is missing or unreadable.
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

// writeIncarnations replaces the list. After nil it is durable.
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

// remember adds the store's incarnation to the list, before anything is written to a log. The caller holds the write lock.
// create makes a list if there is none.
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
		list = nil // without a log, the file is the whole store
	}
	if err := f.writeIncarnations(append(list, current)); err != nil {
		// A full disk must not stop a server. A wrong list would stop it later, so it goes.
		if err := os.Remove(f.real + incarnationSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// renew gives the store a new incarnation. If it cannot, as on a full disk, the old one stays.
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
		return ctx.Err() // a reader blocks the checkpoint; the next start shortens the list
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

// locked calls do while it holds SQLite's write lock. db has a single connection.
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
		_, _ = db.ExecContext(ctx, "ROLLBACK") // also after a failed COMMIT; the first error is the one to report
	}
	return err
}
