// Package listener has the listeners of the service, and knows nothing of what is said on their connections.
package listener

import (
	"container/list"
	"net"
	"sync"
)

// Newest is a listener with a bound on its open connections that lets everybody in: who comes beyond it is given the place
// of whoever has had one for the longest time. So nobody can keep a probe out by holding connections.
type Newest struct {
	net.Listener

	most int

	mu    sync.Mutex
	conns list.List // of *placed, the oldest first
}

// NewNewest lets at most so many connections of inner be open at a time.
func NewNewest(inner net.Listener, most int) *Newest {
	return &Newest{Listener: inner, most: max(1, most)}
}

// placed is a connection that has a place.
type placed struct {
	net.Conn

	listener *Newest
	place    *list.Element // nil once it is given up; guarded by the listener
}

// Accept waits for a connection, and closes the oldest where there is no place for it.
func (n *Newest) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p := &placed{Conn: conn, listener: n}
	n.mu.Lock()
	var oldest net.Conn
	if n.conns.Len() >= n.most {
		if q, ok := n.conns.Front().Value.(*placed); ok {
			q.leave()
			oldest = q.Conn
		}
	}
	p.place = n.conns.PushBack(p)
	n.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close() // its user notices by itself
	}
	return p, nil
}

// Renew counts a connection as new, because a request on it was finished.
func (n *Newest) Renew(conn net.Conn) {
	p, ok := conn.(*placed)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.place != nil {
		n.conns.MoveToBack(p.place)
	}
}

// Close closes the connection and gives its place up.
func (p *placed) Close() error {
	p.listener.mu.Lock()
	p.leave()
	p.listener.mu.Unlock()
	return p.Conn.Close()
}

// leave gives the place up. The listener is locked.
func (p *placed) leave() {
	if p.place != nil {
		p.listener.conns.Remove(p.place)
		p.place = nil
	}
}

// CloseWrite ends what is sent, where the connection below can do so.
func (p *placed) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
