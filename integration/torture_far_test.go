//go:build torture && linux

package integration

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// dialog is a connection on which one request follows another.
type dialog struct {
	conn   net.Conn
	reader *bufio.Reader
}

func (p *process) dialog(t *testing.T) *dialog {
	t.Helper()
	conn := p.connect(t)
	return &dialog{conn, bufio.NewReaderSize(conn, 2<<10)}
}

// ask sends a request and gives the status of its answer.
func (d *dialog) ask(request string) (status int, err error) {
	_ = d.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(d.conn, request); err != nil {
		return 0, err
	}
	status, _, err = readAnswer(d.reader)
	return status, err
}

// timed is ask, and how long it took. A status of 0 is none.
func (d *dialog) timed(request string) (status int, took time.Duration) {
	began := time.Now()
	status, _ = d.ask(request)
	return status, time.Since(began).Round(time.Millisecond / 10)
}

func (p *process) connect(t *testing.T) net.Conn {
	t.Helper()
	return p.connectTo(t, p.url)
}

// connectTo opens a connection to one of the program's addresses.
func (p *process) connectTo(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
