// Package listener has the listeners of the service, and knows nothing of what is said on their connections.
package listener

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
)

// Newest is a listener with a bound on its open connections that lets everybody in: who comes beyond it is given the place
// of a connection of the address that holds the most, the one that has had it for the longest time. So nobody can keep a
// probe out by holding connections, nor push it out by opening many.
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
	from     netip.Prefix
	place    *list.Element // nil once it is given up; guarded by the listener
}

// Accept waits for a connection, and closes another where there is no place for it.
func (n *Newest) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p := &placed{Conn: conn, listener: n, from: origin(conn)}
	n.mu.Lock()
	var victim *placed
	if n.conns.Len() >= n.most {
		victim = n.victim(p.from)
		victim.leave()
	}
	p.place = n.conns.PushBack(p)
	n.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close() // its user notices by itself
		// This makes it likely, not certain, that a request which has arrived is answered before its place is taken, too.
		runtime.Gosched()
	}
	return p, nil
}

// victim is whose place a connection from an address gets. The listener is locked.
func (n *Newest) victim(from netip.Prefix) *placed {
	held := map[netip.Prefix]int{from: 1}
	for e := n.conns.Front(); e != nil; e = e.Next() {
		held[placedIn(e).from]++
	}
	chosen := placedIn(n.conns.Front())
	for e := n.conns.Front(); e != nil; e = e.Next() {
		if p := placedIn(e); held[p.from] > held[chosen.from] {
			chosen = p
		}
	}
	return chosen
}

func placedIn(e *list.Element) *placed {
	p, _ := e.Value.(*placed) // nothing else is put there
	return p
}

// origin is where a connection comes from: an address, or a network of IPv6 that one host may have to itself.
func origin(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	const host = 64
	address := tcp.AddrPort().Addr().Unmap()
	prefix, _ := address.Prefix(min(host, address.BitLen())) // fails only for more bits than there are
	return prefix
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
	half, ok := p.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
