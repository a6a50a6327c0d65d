package app

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// The bounds of what is read from a client that was refused before it had sent everything.
const (
	lingerFor  = 500 * time.Millisecond
	lingerSize = 8 << 20
)

// lingeringConn is a connection that can be closed so that its last answer arrives. Closing one whose client is still
// sending makes the system reset it, and the client may never see why it was refused.
type lingeringConn struct {
	net.Conn

	heard  atomic.Bool
	linger atomic.Bool
}

func (c *lingeringConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(true)
	}
	return n, err
}

// Heard says whether the client has sent anything.
func (c *lingeringConn) Heard() bool { return c.heard.Load() }

// Linger makes Close read what the client still sends, within bounds.
func (c *lingeringConn) Linger() { c.linger.Store(true) }

// Close ends what is sent, and with Linger takes what is still received, before it closes the connection.
func (c *lingeringConn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.CompareAndSwap(true, false) {
		if half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerFor)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerSize)
		}
	}
	return c.Conn.Close()
}
