package listener

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// The bounds of what is read from a client that was refused before it had sent everything.
const (
	lingerPause = 5 * time.Second // without a byte
	lingerSize  = 64 << 20
)

// lingeringConn is a connection that can be closed so that its last answer arrives. Closing one whose client is still
// sending makes the system reset it, and the client may never see why it was refused.
type lingeringConn struct {
	net.Conn

	heard  atomic.Bool
	linger atomic.Int64 // a time.Duration
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

// Linger makes Close read what the client still sends, for as long at most.
func (c *lingeringConn) Linger(most time.Duration) { c.linger.Store(int64(most)) }

// Close ends what is sent, and with Linger takes what is still received, before it closes the connection.
func (c *lingeringConn) Close() error {
	if most := time.Duration(c.linger.Swap(0)); most > 0 && c.CloseWrite() == nil {
		// It is thrown away in pieces of a few KiB, whoever sends and however much.
		_, _ = io.CopyN(io.Discard, lastBytes{c.Conn, time.Now().Add(most)}, lingerSize)
	}
	return c.Conn.Close()
}

// CloseWrite ends what is sent, where the connection below can do so.
func (c *lingeringConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// lastBytes reads from a connection until a time, or until nothing comes for lingerPause.
type lastBytes struct {
	conn  net.Conn
	until time.Time
}

func (l lastBytes) Read(p []byte) (int, error) {
	deadline := time.Now().Add(lingerPause)
	if deadline.After(l.until) {
		deadline = l.until
	}
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	return l.conn.Read(p)
}
