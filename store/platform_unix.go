//go:build unix

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ownership tells who this process is and who owns the file, or the nearest folder on the way to it, and that folder.
func ownership(path string) string {
	text := fmt.Sprintf("; this process runs as uid %d", os.Getuid())
	for range 2 {
		for path != filepath.Dir(path) {
			if _, err := os.Stat(path); err == nil {
				break
			}
			path = filepath.Dir(path)
		}
		info, err := os.Stat(path)
		if err != nil {
			return text
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			text += fmt.Sprintf(", %s belongs to uid %d", path, stat.Uid)
		}
		if info.IsDir() {
			return text
		}
		path = filepath.Dir(path)
	}
	return text
}

// writable says why this process may not write a file, or make files in a folder; nil when it may.
func writable(path string) error {
	const mayWrite = 2
	return syscall.Access(path, mayWrite)
}

// noRoom reports whether err says that a disk is full, or what a user may have of it.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// adopt gives a file the mode and the owner of another one. It takes an open file: a name may lead to another by now.
func adopt(file *os.File, like fs.FileInfo) error {
	return errors.Join(adoptOwner(file, like), file.Chmod(like.Mode().Perm()))
}

// adoptOwner gives a file the owner and the group of another one.
func adoptOwner(file *os.File, like fs.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if own, ok := info.Sys().(*syscall.Stat_t); ok && own.Uid == stat.Uid && own.Gid == stat.Gid {
		return nil
	}
	return file.Chown(int(stat.Uid), int(stat.Gid))
}

// lockAlone takes every lock that SQLite has on a file, until the file is closed; false where another process has one. SQLite
// keeps a shared lock on a file in the mode of a write-ahead log as long as it has it open.
func lockAlone(file *os.File) (bool, error) {
	const pending, bytes = 0x40000000, 512 // of SQLite's file format: the pending byte, the reserved one, and 510 shared ones
	err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: pending, Len: bytes})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	return err == nil, err
}

// noFollow refuses to open a link.
const noFollow = syscall.O_NOFOLLOW

// movesOpenFiles says that a file can be moved over one that is open.
const movesOpenFiles = true
