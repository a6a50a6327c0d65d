package app

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// twoWay is a connection of net.Pipe with an end for each direction, as TCP has it.
type twoWay struct{ net.Conn }

func (twoWay) CloseWrite() error { return nil }

func TestClosingWaitsForWhoStillSends(t *testing.T) {
	tests := []struct {
		name   string
		linger time.Duration
		pause  time.Duration // between two pieces of what the client sends
		piece  int
		want   time.Duration // at which the connection is closed
	}{
		{"slowly, for ever", 30 * time.Second, 4 * time.Second, 1, 30 * time.Second},
		{"not any more", 30 * time.Second, time.Hour, 0, lingerPause},
		{"too slowly", 30 * time.Second, lingerPause + time.Second, 1, lingerPause},
		{"as fast as can be", 30 * time.Second, 0, 1 << 20, 0},
		{"for a short time", time.Second, 100 * time.Millisecond, 1, time.Second},
		{"not asked to wait", 0, time.Second, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				conn := &lingeringConn{Conn: twoWay{server}}
				conn.Linger(tt.linger)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for err := error(nil); err == nil; time.Sleep(tt.pause) {
						_, err = client.Write(make([]byte, tt.piece))
					}
				}()
				began := time.Now()
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != tt.want {
					t.Errorf("closed after %v, want %v", took, tt.want)
				}
				_ = client.Close()
				<-ended
			})
		})
	}
}

// TestASlowBodyIsRefused: a client that needs a while to send a body that is too large reads why it is refused.
func TestASlowBodyIsRefused(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		for _, origins := range [][]string{nil, {"https://a.example"}} {
			t.Run(fmt.Sprintf("%s, origins %v", name, origins), func(t *testing.T) {
				t.Parallel()
				config := testConfig(t)
				config.CORSOrigins = origins
				if secure {
					dir := t.TempDir()
					config.TLSCertFile, config.TLSKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
					writePair(t, config.TLSCertFile, config.TLSKeyFile, "latchkey.example", time.Now())
				}
				address, stop, done := running(t, newApp(t, config, io.Discard))
				address = address[strings.LastIndexByte(address, '/')+1:]
				conn := dial(t, address)
				if secure {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				sendSlowly(t, conn)
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				if body, err := io.ReadAll(answer.Body); answer.StatusCode != http.StatusRequestEntityTooLarge || err != nil || len(body) == 0 {
					t.Errorf("%d %s, %v", answer.StatusCode, body, err)
				}
				// Nobody waits for the client to end when the service stops: it has been answered.
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// sendSlowly sends the beginning of a request with a large body for longer than other refused clients are waited for.
func sendSlowly(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.WriteString(conn, "POST /service/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	pieces := time.NewTicker(100 * time.Millisecond)
	defer pieces.Stop()
	for range 15 {
		<-pieces.C
		if _, err := conn.Write(make([]byte, 1000)); err != nil {
			t.Fatalf("the connection ended while the client sent: %v", err)
		}
	}
}
