//go:build torture && linux

package harness

import (
	"net"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// FarStore is a TCP proxy that delays the answers of a database.
type FarStore struct {
	server   string
	delay    time.Duration
	Requests atomic.Int64 // writes to the database
}

// NewFarStore starts the proxy, and gives the URL of the database through it.
func NewFarStore(t *testing.T, databaseURL string, delay time.Duration) (*FarStore, string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the database's URL is not a URL") // the error repeats it
	}
	f := &FarStore{server: u.Host, delay: delay}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go f.lead(near)
		}
	}()
	u.Host = listener.Addr().String()
	return f, u.String()
}

func (f *FarStore) lead(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", f.server)
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		defer far.Close()
		move(far, near, func([]byte) bool {
			f.Requests.Add(1)
			return true
		})
	}()
	type part struct {
		text []byte
		due  time.Time
	}
	parts := make(chan part, 1000)
	go func() {
		defer near.Close()
		for p := range parts {
			time.Sleep(time.Until(p.due)) // the delay
			_, _ = near.Write(p.text)     // the other direction notices that it is closed
		}
	}()
	defer close(parts)
	buffer := make([]byte, 64<<10)
	for {
		n, err := far.Read(buffer)
		if err != nil {
			return
		}
		parts <- part{slices.Clone(buffer[:n]), time.Now().Add(f.delay)}
	}
}
