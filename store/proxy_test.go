package store_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy is between a store and the server. It can treat connections as a server does that hangs or is lost.
type proxy struct {
	server, address string

	mu       sync.Mutex
	gate     *sync.RWMutex // held for reading while bytes are copied
	listener net.Listener
	conns    map[net.Conn]struct{}
	loseAt   []byte
	ways     []string // where new connections lead to, in turn; server where there are none
	lost     int      // how many connections are
}

// startProxy starts a proxy, and returns the URL of a database through it.
func startProxy(t *testing.T, databaseURL string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: u.Host, address: "127.0.0.1:0", gate: &sync.RWMutex{}, conns: map[net.Conn]struct{}{}}
	if u.Port() == "" {
		p.server = net.JoinHostPort(u.Hostname(), "5432")
	}
	p.restore(t)
	t.Cleanup(p.cut)
	u.Host = p.address
	return p, u.String()
}

// pause stops copying. Connections are still accepted, as a system does for a stopped process.
func (p *proxy) pause() { p.gate.Lock() }

// resume copies what has arrived meanwhile.
func (p *proxy) resume() { p.gate.Unlock() }

// replace ends a pause as a failover does: new connections go to another server, and old ones get no answer any more.
func (p *proxy) replace(t *testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Cleanup(p.gate.Unlock)
	p.gate = &sync.RWMutex{}
}

// lose silently drops every connection that sends the text from now on. "" ends that.
func (p *proxy) lose(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loseAt = []byte(text)
}

// lead lets new connections go to these servers, in turn.
func (p *proxy) lead(to ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ways = to
}

func (p *proxy) loses(text []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.loseAt) == 0 || !bytes.Contains(text, p.loseAt) {
		return false
	}
	p.lost++
	return true
}

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
	p.mu.Lock()
	server := p.server
	if len(p.ways) > 0 {
		server, p.ways = p.ways[0], append(p.ways[1:len(p.ways):len(p.ways)], p.ways[0])
	}
	p.mu.Unlock()
	far, err := net.Dial("tcp", server)
	if err != nil {
		_ = near.Close()
		return
	}
	p.mu.Lock()
	p.conns[near], p.conns[far] = struct{}{}, struct{}{}
	gate := p.gate
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.move(far, near, gate) })
	both.Go(func() { p.move(near, far, gate) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, near)
	delete(p.conns, far)
	p.mu.Unlock()
}

// move copies until one end is closed, and then closes the other.
func (p *proxy) move(to, from net.Conn, gate *sync.RWMutex) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			break
		}
		if p.loses(buffer[:n]) {
			return
		}
		gate.RLock()
		_, err = to.Write(buffer[:n])
		gate.RUnlock()
		if err != nil {
			break
		}
	}
	_ = to.Close()
}
