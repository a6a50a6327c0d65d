package store

import (
	"os"
	"syscall"
)

// lengthen makes a file longer by so many bytes, which have their room on the disk, or as far as there is room.
func lengthen(file *os.File, bytes int64) error {
	const step = 4096 // small, because where there is no room for all of a step, none is taken
	info, err := file.Stat()
	for at := int64(0); at < bytes && err == nil; at += step {
		err = syscall.Fallocate(int(file.Fd()), 0, info.Size()+at, min(step, bytes-at))
	}
	return err
}
