package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

// clientsOf are clients that open a connection for each request, until the port is closed. They count the results.
type clientsOf struct {
	address string
	tls     *tls.Config // nil for plain HTTP

	busy           chan struct{} // closed after a few hundred answers
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
	_ = conn.(*net.TCPConn).SetLinger(0) // without it, thousands of ports stay in TIME_WAIT
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

// TestStopAnswersConnectedClients stops the service while clients connect. Each of them is answered, or its connection is
// refused.
func TestStopAnswersConnectedClients(t *testing.T) {
	listenertest.NeedsIgnoreNew(t)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	listenertest.WritePair(t, certFile, keyFile, "latchkey.test", time.Now())
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

// stopUnderLoad stops a while clients connect, and returns their results.
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
	silent := listenertest.Dial(t, clients.address) // sends nothing until the port is closed
	stop()
	for refused := false; !refused && ctx.Err() == nil; {
		brief := net.Dialer{Timeout: 50 * time.Millisecond} // an ignored client would try again only after a second
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
