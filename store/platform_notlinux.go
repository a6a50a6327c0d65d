//go:build !linux

package store

import (
	"errors"
	"os"
)

// lengthen exists on Linux only.
func lengthen(*os.File, int64) error { return errors.ErrUnsupported }
