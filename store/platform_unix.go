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

// ownership names the user of this process, and the owners of the file and of its folder, or of the nearest folder that exists.
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

// writable is why this process may not write a file, or create files in a folder; nil if it may.
func writable(path string) error {
	const mayWrite = 2
	return syscall.Access(path, mayWrite)
}

// noRoom reports whether err says that the disk is full or the user's quota is used up.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// syncFolder makes the file names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// adopt gives a file the mode and the owner of another one. It takes an open file, because its name may lead elsewhere by now.
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

// lockAlone takes all of SQLite's locks on a file, until the file is closed; false if another process has one. In WAL mode SQLite
// holds a shared lock as long as the file is open.
func lockAlone(file *os.File) (bool, error) {
	const pending, bytes = 0x40000000, 512 // SQLite's file format: the pending byte, the reserved byte, and 510 shared ones
	err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: pending, Len: bytes})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	return err == nil, err
}

// noFollow refuses to open a link.
const noFollow = syscall.O_NOFOLLOW

// movesOpenFiles says that an open file can be replaced.
const movesOpenFiles = true
