package integration

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw is a connection of its own to a target, for requests that no HTTP client would send.
type raw struct {
	net.Conn
	reader *bufio.Reader
}

// dial opens a raw connection, closed when the test ends.
func (tg *target) dial(t *testing.T) *raw {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(tg.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &raw{Conn: conn, reader: bufio.NewReader(conn)}
}

// send writes text as it is.
func (r *raw) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(r, text); err != nil {
		t.Fatal(err)
	}
}

// receive reads one answer and checks it like any other.
func (r *raw) receive(t *testing.T, tg *target, about string) answer {
	t.Helper()
	resp, err := http.ReadResponse(r.reader, nil)
	if err != nil {
		t.Fatalf("%s: no answer: %v", about, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %d, half an answer: %v", about, resp.StatusCode, err)
	}
	a := answer{call: about, status: resp.StatusCode, header: resp.Header, body: string(body), closes: resp.Close}
	a.check(t, tg, call{})
	return a
}

// closed demands that the service ends the connection without another byte.
func (r *raw) closed(t *testing.T, about string) {
	t.Helper()
	rest, err := io.ReadAll(r.reader)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%s: the connection stays open: %v", about, err)
	}
	if len(rest) > 0 {
		t.Errorf("%s: the service took what followed for another request: %q", about, rest)
	}
}

// onlyLocal ends a check whose bytes a proxy in front of a deployment would change.
func onlyLocal(t *testing.T, tg *target) {
	t.Helper()
	if !tg.local() {
		t.Skip("NOT TESTED: a deployment may have a proxy in front, which sees raw bytes first")
	}
}
