package store_test

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a store and the server, and can do to the connections what a server does that hangs or is gone.
type proxy struct {
	server, address string

	// Whoever moves bytes holds gate for reading.
	gate sync.RWMutex

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
}

// startProxy gives the URL of a database as it is reached through a proxy.
func startProxy(t *testing.T, databaseURL string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: u.Host, address: "127.0.0.1:0", conns: map[net.Conn]struct{}{}}
	if u.Port() == "" {
		p.server = net.JoinHostPort(u.Hostname(), "5432")
	}
	p.restore(t)
	t.Cleanup(p.cut)
	u.Host = p.address
	return p, u.String()
}

// pause moves no byte any more; connections are still accepted, as a system does for a process that is stopped.
func (p *proxy) pause() { p.gate.Lock() }

// resume moves what came in the meantime.
func (p *proxy) resume() { p.gate.Unlock() }

// cut resets every connection and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	p.resetAll()
}

// reset ends every connection; new ones are accepted.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resetAll()
}

func (p *proxy) resetAll() {
	for conn := range p.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// restore accepts connections, where it did before.
func (p *proxy) restore(t *testing.T) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address = listener, listener.Addr().String()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go p.connect(near)
		}
	}()
}

func (p *proxy) connect(near net.Conn) {
	far, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = near.Close()
		return
	}
	p.mu.Lock()
	p.conns[near], p.conns[far] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.move(far, near) })
	both.Go(func() { p.move(near, far) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, near)
	delete(p.conns, far)
	p.mu.Unlock()
}

// move copies until one end is closed, and then closes the other.
func (p *proxy) move(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.gate.RLock()
		_, err = to.Write(buffer[:n])
		p.gate.RUnlock()
		if err != nil {
			return
		}
	}
}
