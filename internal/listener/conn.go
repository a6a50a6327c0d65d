package listener

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// How much Close reads from a client that is still sending when it is refused.
const (
	lingerIdle = 5 * time.Second // at most, without a byte
	lingerSize = 64 << 20
)

// lingeringConn is a connection whose last answer arrives. When a connection is closed while the client is still sending,
// the system resets it, and the client may never read why it was refused.
type lingeringConn struct {
	net.Conn

	heard  atomic.Bool
	linger atomic.Int64 // a time.Duration, 0 for not at all
}

func (c *lingeringConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(true)
	}
	return n, err
}

// Heard reports whether the client has sent anything.
func (c *lingeringConn) Heard() bool { return c.heard.Load() }

// Linger makes Close read what the client still sends, but no longer than timeout.
func (c *lingeringConn) Linger(timeout time.Duration) { c.linger.Store(int64(timeout)) }

// Close closes the connection. After Linger, it first closes the sending direction and reads the rest.
func (c *lingeringConn) Close() error {
	if timeout := time.Duration(c.linger.Swap(0)); timeout > 0 && c.CloseWrite() == nil {
		// io.Discard has buffers of a few KiB, so this takes little memory.
		_, _ = io.CopyN(io.Discard, lastBytes{c.Conn, time.Now().Add(timeout)}, lingerSize)
	}
	return c.Conn.Close()
}

// CloseWrite closes the sending direction, if the connection inside can.
func (c *lingeringConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// lastBytes reads from a connection until end, or until nothing comes for lingerIdle.
type lastBytes struct {
	conn net.Conn
	end  time.Time
}

func (l lastBytes) Read(p []byte) (int, error) {
	deadline := time.Now().Add(lingerIdle)
	if deadline.After(l.end) {
		deadline = l.end
	}
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	return l.conn.Read(p)
}
