package harness

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// Cable is a TCP proxy before a database. A test can cut it.
type Cable struct {
	server, network, address string
	// DropNotices drops what the server sends to connections that use LISTEN.
	DropNotices atomic.Bool
	// Listeners counts the connections that have sent LISTEN.
	Listeners atomic.Int64

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
}

// NewCable gives a cable, and the URL of the database through it.
func NewCable(t *testing.T, databaseURL string) (*Cable, string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the database's URL is not a URL") // the error repeats it
	}
	c := &Cable{server: u.Host, network: "tcp", address: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	c.Join(t)
	t.Cleanup(c.Cut)
	u.Host = c.address
	return c, u.String()
}

// NewSocket proxies a database to a Unix socket in a folder. A container that mounts the folder reaches the database without
// an open port, at socketURL.
func NewSocket(t *testing.T, databaseURL, mounted string) (folder, socketURL string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the database's URL is not a URL") // the error repeats it
	}
	folder = t.TempDir()
	socket := filepath.Join(folder, ".s.PGSQL.5432")
	c := &Cable{server: u.Host, network: "unix", address: socket, conns: map[net.Conn]bool{}}
	c.Join(t)
	t.Cleanup(c.Cut)
	for path, mode := range map[string]os.FileMode{filepath.Dir(folder): 0o755, folder: 0o755, socket: 0o777} { // the container runs as another user
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	parameters := u.Query()
	parameters.Set("host", mounted)
	u.Host, u.RawQuery = "", parameters.Encode()
	return folder, u.String()
}

// Join accepts connections again, at the same address.
func (c *Cable) Join(t *testing.T) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), c.network, c.address)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listener, c.address = listener, listener.Addr().String()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go c.lead(near)
		}
	}()
}

// Cut closes all connections and refuses new ones.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.listener.Close()
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

func (c *Cable) lead(near net.Conn) {
	defer near.Close()
	far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", c.server)
	if err != nil {
		return
	}
	defer far.Close()
	c.mu.Lock()
	c.conns[near], c.conns[far] = true, true
	c.mu.Unlock()
	var listens atomic.Bool
	go func() {
		defer far.Close()
		move(far, near, func(text []byte) bool {
			if bytes.Contains(text, []byte("LISTEN ")) && listens.CompareAndSwap(false, true) {
				c.Listeners.Add(1)
			}
			return true
		})
	}()
	move(near, far, func([]byte) bool { return !(listens.Load() && c.DropNotices.Load()) })
}

// move copies the blocks for which pass is true, until one end is closed.
func move(to, from net.Conn, pass func([]byte) bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if pass(buffer[:n]) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
}
