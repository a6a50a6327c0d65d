package store

import (
	"os"
	"syscall"
)

// lengthen extends a file by so many bytes, with space allocated on the disk, or by as much as there is space.
func lengthen(file *os.File, bytes int64) error {
	const step = 4096 // small, because a step without space for all of it allocates nothing
	info, err := file.Stat()
	for at := int64(0); at < bytes && err == nil; at += step {
		err = syscall.Fallocate(int(file.Fd()), 0, info.Size()+at, min(step, bytes-at))
	}
	return err
}
