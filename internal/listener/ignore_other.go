//go:build !linux

package listener

import (
	"errors"
	"net"
)

// ignoreNew fails: only Linux can ignore new clients and keep those who are connected.
func ignoreNew(*net.TCPListener) error { return errors.ErrUnsupported }
