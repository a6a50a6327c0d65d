package app

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

// testConfig is a development configuration on a store of its own.
func testConfig(t testing.TB) configs.Config {
	t.Helper()
	loaded, err := configs.Load(configs.Sources{Dir: t.TempDir(), Flags: map[string]string{
		"PORT": "0", "OPS_ADDR": "127.0.0.1:0", "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "latchkey.db"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	config := loaded.Config
	configs.FreshSecrets().Fill(&config)
	return config
}

func newApp(t testing.TB, config configs.Config, log io.Writer) *App {
	t.Helper()
	a, err := New(context.Background(), config, "test", slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// get sends a request without credentials straight to the framework.
func get(t *testing.T, a *App, method, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://latchkey.test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = path
	answer, err := a.fiber.Test(r, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// openRoutes are the routes that need no token. Every other route must refuse a request without one.
func openRoutes() []string {
	return []string{"GET /", "GET /livez", "GET /readyz", "GET /openapi.json", "GET /docs", "GET /docs/*"}
}

func TestRoutes(t *testing.T) {
	want := append(openRoutes(),
		"GET /service/account/:username", "GET /service/account/", "POST /service/account/register",
		"GET /service/storyspaces/", "GET /service/storyspaces/:id", "POST /service/storyspaces/begin",
		"GET /service/whoami",
		"POST /service/keys", "GET /service/keys", "GET /service/keys/:id", "POST /service/keys/:id/rotate",
		"POST /service/keys/:id/disable", "POST /service/keys/:id/enable", "POST /service/keys/:id/revoke", "GET /service/audit")
	for _, route := range slices.Clone(want) {
		if path, ok := strings.CutPrefix(route, "GET "); ok {
			want = append(want, "HEAD "+path)
		}
	}
	a := newApp(t, testConfig(t), io.Discard)
	var got []string
	for _, route := range a.fiber.GetRoutes(true) {
		got = append(got, route.Method+" "+route.Path)
		name := strings.Replace(route.Method+" "+route.Path, "HEAD ", "GET ", 1)
		if slices.Contains(openRoutes(), name) {
			continue
		}
		path := strings.NewReplacer(":username", "stevenm", ":id", "1").Replace(route.Path)
		answer, body := get(t, a, route.Method, path)
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: %d %s", route.Method, route.Path, answer.StatusCode, body)
		}
		if answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: Cache-Control is %q", route.Method, route.Path, answer.Header.Get("Cache-Control"))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the routes are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOpenAPIRefusesARouteWithoutDocumentation(t *testing.T) {
	good := table(nil, nil, nil)
	if _, err := openAPI(good, "test"); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		rows := slices.Clone(good)
		rows[i].doc = doc{}
		if _, err := openAPI(rows, "test"); err == nil || !strings.Contains(err.Error(), rows[i].path) {
			t.Errorf("%s %s needs no documentation: %v", rows[i].method, rows[i].path, err)
		}
	}
}

func TestOpenAPIIsDeterministic(t *testing.T) {
	first, err := openAPI(table(nil, nil, nil), "test")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if next, _ := openAPI(table(nil, nil, nil), "test"); !bytes.Equal(first, next) {
			t.Fatal("two documents of one table differ: the ETag would change at each start")
		}
	}
}

func TestDocsCanBeTurnedOff(t *testing.T) {
	config := testConfig(t)
	config.DocsEnabled = false
	a := newApp(t, config, io.Discard)
	for _, path := range []string{"/docs", "/docs/swagger-ui.css", "/openapi.json"} {
		if answer, _ := get(t, a, "GET", path); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

// running starts a. It returns the address, a function that stops it, and the result of Run.
func running(t *testing.T, a *App) (address string, stop func(), done <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- a.Run(ctx, func(url string) { urls <- url }) }()
	select {
	case url := <-urls:
		return strings.TrimPrefix(url, "http://"), cancel, ended
	case err := <-ended:
		t.Fatalf("did not start: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("did not start in time")
	}
	return "", nil, nil
}

func TestStopFinishesRequestsUnderWay(t *testing.T) {
	config := testConfig(t)
	config.DrainDelay = 300 * time.Millisecond
	a := newApp(t, config, io.Discard)
	address, stop, done := running(t, a)

	// Half of a request is sent before the stop, the rest after it.
	slow := listenertest.Dial(t, address)
	if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	// An idle connection must not delay the stop.
	idle := listenertest.Dial(t, address)
	answer := ask(t, idle, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer.StatusCode != http.StatusOK || answer.Close {
		t.Fatalf("before the stop: %d, close %v", answer.StatusCode, answer.Close)
	}

	stop()
	for ask(t, listenertest.Dial(t, address), "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").StatusCode == http.StatusOK {
		// until the stop is seen; dial fails if the port is closed before that
	}
	for path, status := range map[string]int{"/livez": 200, "/readyz": 503} {
		answer := ask(t, listenertest.Dial(t, address), "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer.StatusCode != status || !answer.Close {
			t.Errorf("%s while draining: %d, close %v", path, answer.StatusCode, answer.Close)
		}
	}
	if answer := ask(t, slow, "\r\n"); answer.StatusCode != http.StatusOK || !answer.Close {
		t.Errorf("the request under way: %d, close %v", answer.StatusCode, answer.Close)
	}
	if err := <-done; err != nil {
		t.Errorf("a clean stop returned %v", err)
	}
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
		_ = conn.Close()
		t.Error("the port is still open")
	}
}

// ask writes to a connection and reads one answer.
func ask(t *testing.T, conn net.Conn, request string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer
}

func TestStopRightAfterTheStart(t *testing.T) {
	for range 30 {
		a := newApp(t, testConfig(t), io.Discard)
		ctx, stop := context.WithCancel(t.Context())
		if err := a.Run(ctx, func(string) { stop() }); err != nil {
			t.Fatal(err)
		}
		if err := newApp(t, testConfig(t), io.Discard).Run(ctx, func(string) {}); err != nil {
			t.Fatalf("stopped before it began: %v", err)
		}
	}
}

// TestBodyTooLargeIsAnswered posts bodies that are too large: the client is still sending when it is refused.
func TestBodyTooLargeIsAnswered(t *testing.T) {
	a := newApp(t, testConfig(t), io.Discard)
	address, stop, done := running(t, a)
	for _, size := range []int{70 << 10, 200 << 10, 1 << 20, 5 << 20} {
		for range 10 {
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/service/account/register", bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%d bytes: %d", size, answer.StatusCode)
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConnectionWithoutARequestGetsNoAnswer(t *testing.T) {
	var log bytes.Buffer
	a := newApp(t, testConfig(t), &log)
	a.fiber.Server().ReadTimeout = 10 * time.Millisecond
	address, stop, done := running(t, a)
	silent := listenertest.Dial(t, address)
	if got, err := io.ReadAll(silent); len(got) != 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	half := listenertest.Dial(t, address)
	if _, err := io.WriteString(half, "GET / HT"); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(half); !bytes.HasPrefix(got, []byte("HTTP/1.1 408 Request Timeout")) {
		t.Errorf("half a request is answered with %q", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), `"msg":"request"`); n != 1 {
		t.Errorf("%d access lines for half a request and a silent connection:\n%s", n, log.String())
	}
}

func TestPortInUseIsASentence(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for setting, change := range map[string]func(*configs.Config){
		"HOST and PORT": func(c *configs.Config) { _, _ = fmt.Sscan(port, &c.Port) },
		"OPS_ADDR":      func(c *configs.Config) { c.OpsAddr = taken.Addr().String() },
	} {
		config := testConfig(t)
		change(&config)
		err := newApp(t, config, io.Discard).Run(t.Context(), func(string) { t.Error("started") })
		want := setting + ": 127.0.0.1:" + port + " is already in use by another process"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
