package listener

import (
	"bytes"
	"crypto/tls"
	"net"
)

// originListener gives connections that note the Origin of each request, for the answer to one that the engine cannot
// read: it drops the header, and without the Origin a browser would not show its page what was wrong.
type originListener struct{ net.Listener }

// NewOrigin is inner, whose connections note the Origin of each request: they have a method Origin() string.
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
	headNotes
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

// NetConn is the connection below, as tls.Conn has it.
func (c *originConn) NetConn() net.Conn { return c.Conn }

// originTLSConn is a tls.Conn to the engine, which looks for its methods.
type originTLSConn struct {
	*tls.Conn
	headNotes
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

// noteSize is the longest header line that is looked at. An Origin is a scheme, a host and a port.
const noteSize = 512

// headNotes reads along in the header of a request, whatever pieces it comes in.
type headNotes struct {
	line   []byte // so far
	past   bool   // the header has ended
	origin string
}

// Origin is what the header of the latest request said.
func (h *headNotes) Origin() string { return h.origin }

// wrote begins with the next request, once more was written than that the client should go on with the body.
func (h *headNotes) wrote(p []byte) {
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 100 ")) {
		h.line, h.past, h.origin = h.line[:0], false, ""
	}
}

func (h *headNotes) read(p []byte) {
	for !h.past && len(p) > 0 {
		piece, rest, ended := bytes.Cut(p, []byte{'\n'})
		h.line = append(h.line, piece[:min(len(piece), noteSize-len(h.line))]...)
		if !ended {
			return
		}
		line := bytes.TrimSuffix(h.line, []byte{'\r'})
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && bytes.EqualFold(name, []byte("Origin")) {
			h.origin = string(bytes.TrimSpace(value))
		}
		h.past = len(line) == 0
		h.line, p = h.line[:0], rest
	}
}
