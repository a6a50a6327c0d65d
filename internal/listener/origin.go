package listener

import (
	"bytes"
	"crypto/tls"
	"net"
)

// originListener gives connections that remember the Origin header of their latest request. When the engine cannot read a
// request, it drops the headers, but the answer needs the Origin: without it a browser hides the answer from its page.
type originListener struct{ net.Listener }

// NewOrigin is inner with connections that remember the Origin header of their latest request. They have a method
// Origin() string.
func NewOrigin(inner net.Listener) net.Listener { return originListener{inner} }

func (l originListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if secure, ok := conn.(*tls.Conn); ok {
		return &originTLSConn{Conn: secure}, nil
	}
	return &originConn{Conn: conn}, nil
}

type originConn struct {
	net.Conn
	originReader
}

func (c *originConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read(p[:n])
	return n, err
}

func (c *originConn) Write(p []byte) (int, error) {
	c.wrote(p)
	return c.Conn.Write(p)
}

// NetConn is the connection inside, as in tls.Conn.
func (c *originConn) NetConn() net.Conn { return c.Conn }

// originTLSConn still has the methods of tls.Conn, which the engine looks for.
type originTLSConn struct {
	*tls.Conn
	originReader
}

func (c *originTLSConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read(p[:n])
	return n, err
}

func (c *originTLSConn) Write(p []byte) (int, error) {
	c.wrote(p)
	return c.Conn.Write(p)
}

// maxLine is how much of a header line is read. An Origin is a scheme, a host and a port.
const maxLine = 512

// originReader finds the Origin in the bytes of a request, however they are split.
type originReader struct {
	line   []byte // the current line, as far as it was read
	body   bool   // the headers have ended
	origin string
}

// Origin is the Origin of the latest request, empty without one.
func (h *originReader) Origin() string { return h.origin }

// wrote takes what the service writes. An answer ends the request, but "100 Continue" does not.
func (h *originReader) wrote(p []byte) {
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 100 ")) {
		h.line, h.body, h.origin = h.line[:0], false, ""
	}
}

// read takes what the client sends.
func (h *originReader) read(p []byte) {
	for !h.body && len(p) > 0 {
		piece, rest, ended := bytes.Cut(p, []byte{'\n'})
		h.line = append(h.line, piece[:min(len(piece), maxLine-len(h.line))]...)
		if !ended {
			return
		}
		line := bytes.TrimSuffix(h.line, []byte{'\r'})
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && bytes.EqualFold(name, []byte("Origin")) {
			h.origin = string(bytes.TrimSpace(value))
		}
		h.body = len(line) == 0
		h.line, p = h.line[:0], rest
	}
}
