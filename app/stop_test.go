package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// needsIgnoreNew ends a test on systems where a stop may reset who connects in the last moment.
func needsIgnoreNew(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux can ignore new clients and keep those who are connected")
	}
}

func TestAListenerEndsWhenNobodyWaits(t *testing.T) {
	needsIgnoreNew(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			l, err := listen(t.Context(), "HOST", address, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Skipf("NOT TESTED: %v", err)
			}
			dial(t, l.Addr().String())
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
			const waiting = 20
			for range waiting {
				dial(t, l.Addr().String())
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			late := net.Dialer{Timeout: 300 * time.Millisecond} // less than the second after which a client tries again
			if conn, err := late.DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
				_ = conn.Close()
				t.Error("a client connected after the end had begun")
			}
			for i := range waiting {
				if _, err := l.Accept(); err != nil {
					t.Fatalf("%d of %d who were connected are accepted: %v", i, waiting, err)
				}
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("with nobody left: %v", err)
			}
			if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("the port is still open: %v", err)
			}
		})
	}
}

// TestAListenerWaitsForHandshakes closes a listener while Accept waits: a client may be connecting, so it waits on.
func TestAListenerWaitsForHandshakes(t *testing.T) {
	needsIgnoreNew(t)
	l, err := listen(t.Context(), "HOST", "127.0.0.1:0", slog.New(slog.DiscardHandler))
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
	dial(t, l.Addr().String())
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	runtime.Gosched() // the next Accept begins to wait
	began := time.Now()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("with nobody left: %v", err)
	}
	if took := time.Since(began); took < lastCall {
		t.Errorf("ended after %s, want %s at least", took, lastCall)
	}
}

func TestAListenerThatNobodyAcceptsFromEndsAtOnce(t *testing.T) {
	l, err := listen(t.Context(), "HOST", "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if again, err := listen(t.Context(), "HOST", l.Addr().String(), slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	} else {
		_ = again.Close()
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// clientsOf counts what became of the connections of clients who open one for each request, for as long as they can.
type clientsOf struct {
	address string
	tls     *tls.Config // nil for plain HTTP

	busy           chan struct{} // closed when a few hundred were answered
	answered, lost atomic.Int64
	first          atomic.Pointer[error] // of those that were lost
}

func (c *clientsOf) run(ctx context.Context) {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, context.Canceled) {
			return
		}
		if err == nil {
			err = c.ask(conn)
		}
		if err != nil {
			c.lost.Add(1)
			c.first.CompareAndSwap(nil, &err)
			return
		}
		if c.answered.Add(1) == 200 {
			close(c.busy)
		}
	}
}

// ask is one request on a connection, and its end.
func (c *clientsOf) ask(conn net.Conn) error {
	_ = conn.(*net.TCPConn).SetLinger(0) // thousands of ports would wait for a minute each
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if c.tls != nil {
		conn = tls.Client(conn, c.tls)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// TestAStopAnswersWhoIsConnected stops the service while clients go on connecting to it: whoever got a connection gets
// an answer, and the others are refused.
func TestAStopAnswersWhoIsConnected(t *testing.T) {
	needsIgnoreNew(t)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	writePair(t, certFile, keyFile, "latchkey.test", time.Now())
	for _, tt := range []struct {
		name  string
		stops int
		tls   *tls.Config
	}{
		{"HTTP", 8, nil},
		{"HTTPS", 4, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var answered, lost int64
			for range tt.stops {
				config := testConfig(t)
				if tt.tls != nil {
					config.TLSCertFile, config.TLSKeyFile = certFile, keyFile
				}
				clients := stopUnderLoad(t, newApp(t, config, io.Discard), tt.tls)
				answered, lost = answered+clients.answered.Load(), lost+clients.lost.Load()
				if err := clients.first.Load(); err != nil {
					t.Error(*err)
				}
			}
			t.Logf("%d stops: %d connections answered, %d lost", tt.stops, answered, lost)
		})
	}
}

// stopUnderLoad stops a while clients connect, and gives what became of them.
func stopUnderLoad(t *testing.T, a *App, settings *tls.Config) *clientsOf {
	t.Helper()
	url, stop, done := running(t, a)
	clients := &clientsOf{address: strings.TrimPrefix(url, "https://"), tls: settings, busy: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { clients.run(ctx) })
	}
	select {
	case <-clients.busy:
	case <-ctx.Done():
		t.Error("the service did not come to answer clients")
	}
	silent := dial(t, clients.address) // says nothing until the port is closed
	stop()
	for refused := false; !refused && ctx.Err() == nil; {
		brief := net.Dialer{Timeout: 50 * time.Millisecond} // who is ignored would try again only in a second
		conn, err := brief.DialContext(ctx, "tcp", clients.address)
		if err == nil {
			_ = conn.Close()
		}
		refused = errors.Is(err, syscall.ECONNREFUSED)
	}
	if err := clients.ask(silent); err != nil {
		t.Errorf("connected before the stop: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("a clean stop returned %v", err)
	}
	cancel()
	all.Wait()
	return clients
}
