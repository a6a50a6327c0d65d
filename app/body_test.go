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
	"time"

	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

// TestBodyTooLargeIsAnsweredWhileSentSlowly: a slow client with a body that is too large can still read the refusal.
func TestBodyTooLargeIsAnsweredWhileSentSlowly(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		for _, origins := range [][]string{nil, {"https://a.example"}} {
			t.Run(fmt.Sprintf("%s, origins %v", name, origins), func(t *testing.T) {
				t.Parallel()
				config := testConfig(t)
				config.CORSOrigins = origins
				if secure {
					dir := t.TempDir()
					config.TLSCertFile, config.TLSKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
					listenertest.WritePair(t, config.TLSCertFile, config.TLSKeyFile, "latchkey.example", time.Now())
				}
				address, stop, done := running(t, newApp(t, config, io.Discard))
				address = address[strings.LastIndexByte(address, '/')+1:]
				conn := listenertest.Dial(t, address)
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
				// The stop does not wait for the client: it has its answer.
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// sendSlowly sends the beginning of a large body, for longer than the service waits for other refused clients.
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
