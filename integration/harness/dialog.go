//go:build torture && linux

package harness

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Dialog is a connection for many requests, one after the other.
type Dialog struct {
	conn   net.Conn
	reader *bufio.Reader
}

// Dialog opens a dialog with the API.
func (p *Process) Dialog(t *testing.T) *Dialog {
	t.Helper()
	conn := p.Connect(t)
	return &Dialog{conn, bufio.NewReaderSize(conn, 2<<10)}
}

// Ask sends a request and gives the status of its answer.
func (d *Dialog) Ask(request string) (status int, err error) {
	_ = d.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(d.conn, request); err != nil {
		return 0, err
	}
	status, _, err = readAnswer(d.reader)
	return status, err
}

// TimedAsk is Ask with its duration. Status 0 means no answer.
func (d *Dialog) TimedAsk(request string) (status int, took time.Duration) {
	began := time.Now()
	status, _ = d.Ask(request)
	return status, time.Since(began).Round(time.Millisecond / 10)
}

// Connect opens a connection to the API.
func (p *Process) Connect(t *testing.T) net.Conn {
	t.Helper()
	return p.ConnectTo(t, p.URL)
}

// ConnectTo opens a connection to one of the program's addresses.
func (p *Process) ConnectTo(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
