package app

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/internal/listener"
	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

func opsGet(a *App, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.opsRoutes().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestOpsAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, method, path string
		change             func(*App)
		status             int
		body, allow, retry string
	}{
		{"live", "GET", "/livez", nil, 200, `{"status":"ok"}`, "", ""},
		{"ready", "GET", "/readyz", nil, 200, `{"status":"ok"}`, "", ""},
		{"HEAD", "HEAD", "/readyz", nil, 200, `{"status":"ok"}`, "", ""}, // the engine leaves the body out
		{"live while it stops", "GET", "/livez", func(a *App) { a.draining.Store(true) }, 200, `{"status":"ok"}`, "", ""},
		{"ready while it stops", "GET", "/readyz", func(a *App) { a.draining.Store(true) }, 503, `{"detail":"Service Unavailable"}`, "", "1"},
		{"another method", "POST", "/readyz", nil, 405, `{"detail":"Method Not Allowed"}`, "GET, HEAD", ""},
		{"no place", "GET", "/service/whoami", nil, 404, `{"detail":"Not Found"}`, "", ""},
		{"no place, another method", "POST", "/nothing", nil, 404, `{"detail":"Not Found"}`, "", ""},
		{"profiles in production", "GET", "/debug/pprof/heap", nil, 404, `{"detail":"Not Found"}`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newApp(t, testConfig(t), io.Discard)
			a.config.AppEnv = configs.Production
			if tt.change != nil {
				tt.change(a)
			}
			w := opsGet(a, tt.method, tt.path)
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, tt.status, tt.body)
			}
			for name, want := range map[string]string{
				"Allow": tt.allow, "Retry-After": tt.retry, "Content-Type": "application/json", "Cache-Control": "no-store",
				"Content-Length": strconv.Itoa(len(tt.body)), "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
	a := newApp(t, testConfig(t), io.Discard)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		if w := opsGet(a, "GET", path); w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("%s in development: %d", path, w.Code)
		}
	}
}

// opsRunning starts the operations address of an App and returns it.
func opsRunning(t *testing.T) string {
	t.Helper()
	a := newApp(t, testConfig(t), io.Discard)
	ops, err := a.serveOps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ops.close() })
	return strings.TrimPrefix(ops.url, "http://")
}

// TestOpsReadsNoBody sends bodies that never end: they are answered, and the connection is closed.
func TestOpsReadsNoBody(t *testing.T) {
	address := opsRunning(t)
	for _, head := range []string{
		"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1610612736\r\n\r\n",
		"GET /readyz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000\r\n",
		"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1610612736\r\nExpect: 100-continue\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n",
	} {
		conn := listenertest.Dial(t, address)
		answer := ask(t, conn, head+strings.Repeat("x", 1000))
		_, _ = io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != 200 && answer.StatusCode != 404 || !answer.Close {
			t.Errorf("%q: %d, closes %v", head, answer.StatusCode, answer.Close)
		}
		sent, gone := 0, error(nil)
		for chunk := make([]byte, 1<<20); gone == nil && sent < 256<<20; {
			var n int
			n, gone = conn.Write(chunk)
			sent += n
		}
		if !errors.Is(gone, syscall.ECONNRESET) && !errors.Is(gone, syscall.EPIPE) {
			t.Errorf("%q: %d bytes of the body were taken: %v", head, sent, gone)
		}
	}
}

// unread is the response writer of a client that does not read.
type unread struct {
	*httptest.ResponseRecorder

	sending, read chan struct{}
}

func (u unread) Write(p []byte) (int, error) {
	close(u.sending)
	<-u.read
	return u.ResponseRecorder.Write(p)
}

// TestOpsMakesOnePageAtATime: also while a client waits or does not read.
func TestOpsMakesOnePageAtATime(t *testing.T) {
	var made, most atomic.Int32
	pages := oneAtATime(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), made.Add(1)))
		runtime.Gosched() // others who may would begin now
		made.Add(-1)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "page")
	}), time.Microsecond)
	ask := func(ctx context.Context, w http.ResponseWriter) {
		pages.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/metrics", nil))
	}
	slow := unread{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	var late, all sync.WaitGroup
	late.Go(func() { ask(t.Context(), slow) })
	<-slow.sending
	for range 50 {
		all.Go(func() {
			w := httptest.NewRecorder()
			if ask(t.Context(), w); w.Code != http.StatusAccepted || w.Body.String() != "page" {
				t.Errorf("%d %q", w.Code, w.Body)
			}
		})
	}
	all.Wait()
	close(slow.read)
	late.Wait()
	if slow.Body.String() != "page" || most.Load() != 1 {
		t.Errorf("%q for who reads late; %d pages made at a time", slow.Body, most.Load())
	}

	gone, leave := context.WithCancel(t.Context())
	pages = oneAtATime(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }), time.Hour)
	ask(t.Context(), httptest.NewRecorder())
	leave()
	w := httptest.NewRecorder()
	if ask(gone, w); w.Body.Len() != 0 {
		t.Errorf("a page within the pause: %q", w.Body)
	}
}

// TestOpsAnswerArrivesBeforeTheBodyIsSent: the server closes the sending direction first, so a client that is still sending a
// body can read the answer and is not reset.
func TestOpsAnswerArrivesBeforeTheBodyIsSent(t *testing.T) {
	inner, err := listener.Listen(t.Context(), "OPS_ADDR", "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	places := listener.NewNewest(inner, 1)
	client := listenertest.Dial(t, inner.Addr().String())
	server, err := places.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Close(), places.Close() })
	half, ok := server.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		t.Fatal("what is sent cannot be ended alone") // net/http asks for it
	}
	if n, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v, want the end", n, err)
	}
}

// TestOpsAcceptsAProbeWhateverOthersHold: more connections than the maximum, all in the middle of a request.
func TestOpsAcceptsAProbeWhateverOthersHold(t *testing.T) {
	address := opsRunning(t)
	for name, begun := range map[string]string{
		"half of a request":   "GET /readyz HTTP/1.1\r\nHost:",
		"half of a body":      "GET /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
		"nothing":             "",
		"idle after requests": "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			first := listenertest.Dial(t, address)
			send := func(conn net.Conn) {
				if _, err := io.WriteString(conn, begun); err != nil {
					t.Fatal(err)
				}
			}
			send(first)
			for range 2 * opsConnections() {
				send(listenertest.Dial(t, address))
			}
			// The first has no place any more: whatever it was told before, its connection ends.
			if _, err := io.Copy(io.Discard, first); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the first of them: %v", err)
			}
			for range 3 {
				began := time.Now()
				if answer := ask(t, listenertest.Dial(t, address), "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"); answer.StatusCode != 200 {
					t.Errorf("a probe: %d", answer.StatusCode)
				}
				if took := time.Since(began); took > readTimeout {
					t.Errorf("a probe was answered after %v: it waited for the others", took)
				}
			}
		})
	}
}

// TestOpsEndsRequestsThatTakeTooLong: no client finishes its request within the read timeout.
func TestOpsEndsRequestsThatTakeTooLong(t *testing.T) {
	conn := listenertest.Dial(t, opsRunning(t))
	if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_ = answer.Body.Close()
		t.Errorf("half of a request is answered with %d", answer.StatusCode)
	}
	if took := time.Since(began); took < readTimeout/2 || took > readTimeout+10*time.Second {
		t.Errorf("ended after %v, want %v", took, readTimeout)
	}
}
