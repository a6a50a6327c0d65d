package listener

import (
	"errors"
	"log/slog"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

func TestCloseKeepsOpenConnections(t *testing.T) {
	listenertest.NeedsIgnoreNew(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			l, err := Listen(t.Context(), "HOST", address, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Skipf("NOT TESTED: %v", err)
			}
			listenertest.Dial(t, l.Addr().String())
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
			const waiting = 20
			for range waiting {
				listenertest.Dial(t, l.Addr().String())
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			late := net.Dialer{Timeout: 300 * time.Millisecond} // shorter than the second after which TCP tries again
			if conn, err := late.DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
				_ = conn.Close()
				t.Error("a client connected after Close")
			}
			for i := range waiting {
				if _, err := l.Accept(); err != nil {
					t.Fatalf("%d of %d open connections are accepted: %v", i, waiting, err)
				}
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("without waiting connections: %v", err)
			}
			if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("the port is still open: %v", err)
			}
		})
	}
}

// TestCloseWaitsForHandshakes closes a listener while Accept waits: a client may be connecting at that moment.
func TestCloseWaitsForHandshakes(t *testing.T) {
	listenertest.NeedsIgnoreNew(t)
	l, err := Listen(t.Context(), "HOST", "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error)
	go func() {
		var err error
		for err == nil {
			_, err = l.Accept()
			accepted <- err
		}
	}()
	listenertest.Dial(t, l.Addr().String())
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	runtime.Gosched() // the next Accept begins to wait
	began := time.Now()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("without waiting connections: %v", err)
	}
	if took := time.Since(began); took < handshakeTimeout {
		t.Errorf("ended after %s, want %s at least", took, handshakeTimeout)
	}
}

func TestCloseWithoutAccept(t *testing.T) {
	l, err := Listen(t.Context(), "HOST", "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if again, err := Listen(t.Context(), "HOST", l.Addr().String(), slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	} else {
		_ = again.Close()
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
