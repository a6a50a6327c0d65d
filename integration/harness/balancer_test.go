package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestSentOnceSeesRepeats(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerOnce(conn)
		}
	}()
	for _, tt := range []struct {
		name string
		sent func(http.RoundTripper) http.RoundTripper
		want string // of the second request
	}{
		{"as it is", func(inner http.RoundTripper) http.RoundTripper { return inner }, "<nil>"},
		{"sent once", func(inner http.RoundTripper) http.RoundTripper { return SentOnce{inner} }, "sent 2 times"},
	} {
		client := &http.Client{Transport: tt.sent(NewTransport(t, false)), Timeout: StartTimeout}
		ask := func() error {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String(), nil)
			a, err := client.Do(r)
			if err == nil {
				err = errors.Join(a.Body.Close())
			}
			return err
		}
		if err := ask(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if err := ask(); !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: the second request ends with %v, want %s", tt.name, err, tt.want)
		}
	}
}

// answerOnce answers the first request on a connection, and breaks it at the second.
func answerOnce(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	if _, err := http.ReadRequest(reader); err == nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, _ = http.ReadRequest(reader)
	}
}
