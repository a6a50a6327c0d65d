package listener

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
)

// Newest is a listener with a maximum of open connections that still accepts every new one. When the maximum is reached,
// it closes the oldest connection of the address that has the most. So an attacker can neither keep a probe out by
// holding connections, nor push it out by opening many.
type Newest struct {
	net.Listener

	maximum int

	mu    sync.Mutex
	conns list.List // of *placed, the oldest first
}

// NewNewest keeps at most maximum connections of inner open.
func NewNewest(inner net.Listener, maximum int) *Newest {
	return &Newest{Listener: inner, maximum: max(1, maximum)}
}

// placed is an accepted connection.
type placed struct {
	net.Conn

	listener *Newest
	client   netip.Prefix
	place    *list.Element // in listener.conns; nil once it is removed; guarded by listener.mu
}

// Accept waits for a connection, and closes another one when there are too many.
func (n *Newest) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p := &placed{Conn: conn, listener: n, client: clientOf(conn)}
	n.mu.Lock()
	var victim *placed
	if n.conns.Len() >= n.maximum {
		victim = n.victim(p.client)
		victim.leave()
	}
	p.place = n.conns.PushBack(p)
	n.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close() // whoever reads it gets an error
		// Gives a request that has already arrived a chance to be answered, before the next Accept closes its connection.
		runtime.Gosched()
	}
	return p, nil
}

// victim is the connection to close for a new one from client. n.mu is locked.
func (n *Newest) victim(client netip.Prefix) *placed {
	open := map[netip.Prefix]int{client: 1}
	for e := n.conns.Front(); e != nil; e = e.Next() {
		open[placedIn(e).client]++
	}
	chosen := placedIn(n.conns.Front())
	for e := n.conns.Front(); e != nil; e = e.Next() {
		if p := placedIn(e); open[p.client] > open[chosen.client] {
			chosen = p
		}
	}
	return chosen
}

func placedIn(e *list.Element) *placed {
	p, _ := e.Value.(*placed) // nothing else is put there
	return p
}

// clientOf is the client of a connection: its IPv4 address, or its IPv6 /64, which usually belongs to one host.
func clientOf(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	const host = 64
	address := tcp.AddrPort().Addr().Unmap()
	prefix, _ := address.Prefix(min(host, address.BitLen())) // fails only for more bits than the address has
	return prefix
}

// Renew makes conn the newest. It is called after each request.
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

// Close closes the connection and frees its place.
func (p *placed) Close() error {
	p.listener.mu.Lock()
	p.leave()
	p.listener.mu.Unlock()
	return p.Conn.Close()
}

// leave frees the place. listener.mu is locked.
func (p *placed) leave() {
	if p.place != nil {
		p.listener.conns.Remove(p.place)
		p.place = nil
	}
}

// CloseWrite closes the sending direction, if the connection inside can.
func (p *placed) CloseWrite() error {
	half, ok := p.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
