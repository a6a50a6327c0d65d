//go:build unix

package store

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"
)

// A quota that is used up is a full disk.
func TestReserveErrorsOfAFullDisk(t *testing.T) {
	for err, want := range map[error]bool{
		nil:            false,
		syscall.ENOSPC: true,
		syscall.EDQUOT: true,
		syscall.EROFS:  false,
		syscall.EACCES: false,
		syscall.EIO:    false,
	} {
		if err != nil {
			err = errors.Join(&fs.PathError{Op: "write", Path: "x", Err: err})
		}
		if noRoom(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}
