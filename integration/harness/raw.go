package harness

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// RawConn is a TCP connection to a target, for requests that no HTTP client would send.
type RawConn struct {
	net.Conn
	Reader *bufio.Reader
}

// Dial opens a raw connection, closed when the test ends.
func (tg *Target) Dial(t *testing.T) *RawConn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(tg.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &RawConn{Conn: conn, Reader: bufio.NewReader(conn)}
}

// Send writes text as it is.
func (r *RawConn) Send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(r, text); err != nil {
		t.Fatal(err)
	}
}

// Receive reads one answer and checks it as Do does.
func (r *RawConn) Receive(t *testing.T, tg *Target, about string) Answer {
	t.Helper()
	resp, err := http.ReadResponse(r.Reader, nil)
	if err != nil {
		t.Fatalf("%s: no answer: %v", about, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %d, the answer is cut: %v", about, resp.StatusCode, err)
	}
	a := Answer{Call: about, Status: resp.StatusCode, Header: resp.Header, Body: string(body), Closes: resp.Close}
	a.check(t, tg, Call{})
	return a
}

// Closed demands that the service ends the connection without another byte.
func (r *RawConn) Closed(t *testing.T, about string) {
	t.Helper()
	rest, err := io.ReadAll(r.Reader)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%s: the connection stays open: %v", about, err)
	}
	if len(rest) > 0 {
		t.Errorf("%s: the service answered the bytes after the refused request: %q", about, rest)
	}
}

// NeedLocal skips a check of raw bytes for deployments: a proxy may change the bytes.
func NeedLocal(t *testing.T, tg *Target) {
	t.Helper()
	if !tg.IsLocal() {
		t.Skip("NOT TESTED: a deployment may have a proxy in front, which sees raw bytes first")
	}
}
