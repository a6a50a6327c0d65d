//go:build !linux

package listener

import (
	"errors"
	"net"
)

// ignoreNew fails: this system cannot ignore new clients and keep those who are connected.
func ignoreNew(*net.TCPListener) error { return errors.ErrUnsupported }
