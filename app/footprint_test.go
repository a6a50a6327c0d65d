package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

// The memory of an idle connection does not depend on its earlier requests.
func TestConnectionHoldsLittleWhileIdle(t *testing.T) {
	const connections, most = 100, 12 << 10
	guarded := func(header string) string { return "GET /service/whoami HTTP/1.1\r\nHost: x\r\n" + header + "\r\n" }
	post := "POST /service/account/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	var names strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&names, "a%d,", i)
	}
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"a large body":       {post + fmt.Sprintf("Content-Length: %d\r\n\r\n", bodyLimit) + strings.Repeat("a", bodyLimit), 401},
		"a large header":     {guarded("X: " + strings.Repeat("a", 15<<10) + "\r\n"), 401},
		"many header lines":  {guarded(strings.Repeat("a:b\r\n", 3000)), 401},
		"many announcements": {guarded("Trailer: " + names.String() + "\r\n"), 401},
		"many trailers":      {post + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("a:b\r\n", 3000) + "\r\n", 401},
		"a long query":       {"GET /service/whoami?" + strings.Repeat("a&", 7000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 401},
		"a long path":        {"GET /" + strings.Repeat("a/", 7000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 404},
	} {
		t.Run(name, func(t *testing.T) {
			address, stop, done := running(t, newApp(t, testConfig(t), io.Discard))
			all := make([]net.Conn, connections)
			for i := range all {
				all[i] = listenertest.Dial(t, address)
				ask(t, all[i], guarded(""))
			}
			before := heldHeap()
			for _, conn := range all {
				if answer := ask(t, conn, tt.request); answer.StatusCode != tt.status || answer.Close {
					t.Fatalf("%d, close %v", answer.StatusCode, answer.Close)
				}
			}
			if more := (heldHeap() - before) / connections; more > most {
				t.Errorf("each connection holds %d bytes more, want at most %d", more, most)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			runtime.KeepAlive(all)
		})
	}
}

func heldHeap() int64 {
	var m runtime.MemStats
	for range 3 { // the second empties pools, the third runs finalizers
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The request is released before the answer is written, but its method must still be known.
func TestHEADWithALargeBodyIsAnsweredWithoutOne(t *testing.T) {
	address, _, _ := running(t, newApp(t, testConfig(t), io.Discard))
	conn := listenertest.Dial(t, address)
	request := " / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 10<<10) + "\r\n\r\n"
	reader := bufio.NewReader(conn)
	for _, method := range []string{"HEAD", "GET", "HEAD", "GET"} {
		if _, err := io.WriteString(conn, method+request); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			t.Fatal(method, err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || answer.ContentLength <= 0 || (len(body) == 0) != (method == "HEAD") {
			t.Errorf("%s: %d %q, length %d, %v", method, answer.StatusCode, body, answer.ContentLength, err)
		}
	}
}
