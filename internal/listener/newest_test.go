package listener

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// pair is both ends of a connection that a listener accepted.
type pair struct{ client, server net.Conn }

func open(t *testing.T, l net.Listener) pair {
	t.Helper()
	return openFrom(t, l, "127.0.0.1")
}

// openFrom connects from an address of this machine.
func openFrom(t *testing.T, l net.Listener, address string) pair {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	client, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil && address != "127.0.0.1" {
		t.Skipf("NOT TESTED: %v", err) // only Linux has the whole network
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return pair{client, server}
}

// isOpen reports whether the client receives what the server sends.
func (p pair) isOpen(t *testing.T) bool {
	t.Helper()
	_ = p.client.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, _ = p.server.Write([]byte{1})
	n, err := p.client.Read(make([]byte, 1))
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return n == 1
}

func newest(t *testing.T, maximum int) *Newest {
	t.Helper()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	return NewNewest(inner, maximum)
}

func TestNewestClosesTheOldest(t *testing.T) {
	l := newest(t, 3)
	var pairs []pair
	for range 10 {
		pairs = append(pairs, open(t, l))
	}
	for i, p := range pairs {
		if got, want := p.isOpen(t), i >= 7; got != want {
			t.Errorf("connection %d of 10 is open: %v, want %v", i, got, want)
		}
	}
}

// TestNewestClosesForTheAddressWithTheMost: an address that opens one connection after the other only closes its own.
func TestNewestClosesForTheAddressWithTheMost(t *testing.T) {
	const probe, other, stranger = "127.0.0.2", "127.0.0.3", "127.0.0.4"
	l := newest(t, 4)
	probes := []pair{openFrom(t, l, probe), openFrom(t, l, other)}
	for range 20 {
		openFrom(t, l, stranger)
	}
	for i, p := range probes {
		if !p.isOpen(t) {
			t.Errorf("connection %d was closed for an address that had more", i)
		}
	}
	// With a second one the first has as many as the stranger, and is older.
	again := openFrom(t, l, probe)
	if probes[0].isOpen(t) || !probes[1].isOpen(t) || !again.isOpen(t) {
		t.Error("the closed connection is not the oldest of the addresses with the most")
	}
}

func TestNewestCountsIPv6ByNetwork(t *testing.T) {
	for _, tt := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
	} {
		one, other := clientOf(remote(tt.one)), clientOf(remote(tt.other))
		if got := one == other; got != tt.same || !one.IsValid() {
			t.Errorf("%s is %v, and %s is %v", tt.one, one, tt.other, other)
		}
	}
}

// from is a connection from an address.
type from struct {
	net.Conn

	address net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.address }

func remote(address string) net.Conn {
	return from{address: &net.TCPAddr{IP: net.ParseIP(address), Port: 1}}
}

func TestNewestRenew(t *testing.T) {
	l := newest(t, 2)
	first, second := open(t, l), open(t, l)
	l.Renew(first.server)
	third := open(t, l)
	if !first.isOpen(t) || second.isOpen(t) || !third.isOpen(t) {
		t.Error("the connection that waited longest is not the one that was closed")
	}
	l.Renew(second.server) // already closed: it must not get a place again
	fourth := open(t, l)
	if first.isOpen(t) || !third.isOpen(t) || !fourth.isOpen(t) {
		t.Error("a closed connection has a place")
	}
}

func TestNewestFreesThePlaceOfAClosedConnection(t *testing.T) {
	l := newest(t, 2)
	first, second := open(t, l), open(t, l)
	for range 3 {
		_ = second.server.Close()
	}
	third := open(t, l)
	if !first.isOpen(t) || !third.isOpen(t) {
		t.Error("a connection was closed although there was a place")
	}
}

func TestNewestConcurrently(t *testing.T) {
	l := newest(t, 4)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if client, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
					_ = client.Close()
				}
			}
		})
	}
	for range 8 * 50 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			l.Renew(conn)
			_ = conn.Close()
		})
	}
	all.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns.Len() != 0 {
		t.Errorf("%d places are taken by nobody", l.conns.Len())
	}
}
