package middleware

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/latchkey-api/latchkey/fault"
)

// service is the chain around a few routes that fail in every way.
func service(t *testing.T, log io.Writer, change func(*Options)) *fiber.App {
	t.Helper()
	o := Options{
		Logger:         slog.New(slog.NewJSONHandler(log, nil)),
		AccessLog:      true,
		Metrics:        NewMetrics(prometheus.NewRegistry()),
		RequestTimeout: time.Minute,
	}
	if change != nil {
		change(&o)
	}
	app := fiber.New(fiber.Config{DisableStartupMessage: true, CaseSensitive: true, ErrorHandler: ErrorHandler})
	Install(app, o)
	app.Get("/good", Route("/good", false), func(c *fiber.Ctx) error { return c.SendString("good") })
	app.Get("/fails", Route("/fails", true), func(*fiber.Ctx) error { return errors.New("SECRET-MARKER") })
	app.Get("/panics", Route("/panics", true), func(*fiber.Ctx) error { panic("SECRET-MARKER") })
	app.Get("/down", Route("/down", true), func(*fiber.Ctx) error { return fault.New(fault.Unavailable) })
	app.Get("/waits", Route("/waits", false), func(c *fiber.Ctx) error {
		<-c.UserContext().Done()
		return c.UserContext().Err()
	})
	Edge(app, func() bool { return false })
	return app
}

// send sends one request and returns the answer with its body.
func send(t *testing.T, app *fiber.App, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
	r.RequestURI = target // as it is: parsing would refuse broken escapes
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	answer, err := app.Test(r, 10_000)
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

// lines are the log records with the given message.
func lines(t *testing.T, log *bytes.Buffer, msg string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(log.String()) {
		record := map[string]any{}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if record["msg"] == msg {
			found = append(found, record)
		}
	}
	return found
}

func TestAFailureIsAnsweredOnceAndExplainedInTheLogOnly(t *testing.T) {
	for _, path := range []string{"/fails", "/panics"} {
		t.Run(path, func(t *testing.T) {
			var log bytes.Buffer
			answer, body := send(t, service(t, &log, nil), "GET", path)
			if answer.StatusCode != 500 || body != `{"detail":"Internal Server Error"}` {
				t.Errorf("%d %s", answer.StatusCode, body)
			}
			if got := answer.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q", got)
			}
			id := answer.Header.Get("X-Request-ID")
			access := lines(t, &log, "request")
			if len(access) != 1 || access[0]["status"] != 500.0 || access[0]["route"] != path || access[0]["request_id"] != id || id == "" {
				t.Errorf("access lines %v, request id %q", access, id)
			}
			if !strings.Contains(log.String(), "SECRET-MARKER") {
				t.Error("the log does not say why")
			}
		})
	}
}

func TestTheDeadlineEndsARequest(t *testing.T) {
	app := service(t, io.Discard, func(o *Options) { o.RequestTimeout = 10 * time.Millisecond })
	if answer, body := send(t, app, "GET", "/waits"); answer.StatusCode != 504 || body != `{"detail":"Gateway Timeout"}` {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestRequestID(t *testing.T) {
	app := service(t, io.Discard, nil)
	longest := strings.Repeat("a", 64)
	for _, id := range []string{"x", "AZaz09._-", longest} {
		if answer, _ := send(t, app, "GET", "/good", "X-Request-ID", id); answer.Header.Get("X-Request-ID") != id {
			t.Errorf("%q was replaced by %q", id, answer.Header.Get("X-Request-ID"))
		}
	}
	seen := map[string]bool{}
	for _, id := range []string{"", " ", "a b", longest + "a", "é", "a\"", "a;b", "<script>"} {
		answer, _ := send(t, app, "GET", "/good", "X-Request-ID", id)
		got := answer.Header.Get("X-Request-ID")
		if got == id || !plainID(got) || seen[got] {
			t.Errorf("for %q: %q", id, got)
		}
		seen[got] = true
	}
}

func TestRefusalsBeforeRouting(t *testing.T) {
	app := service(t, io.Discard, nil)
	tests := []struct {
		name, method, target string
		status               int
		allow                string
	}{
		{"no route", "GET", "/nope", 404, ""},
		{"another case is another path", "GET", "/GOOD", 404, ""},
		{"another method", "POST", "/good", 405, "GET, HEAD"},
		{"OPTIONS without CORS", "OPTIONS", "/good", 405, "GET, HEAD"},
		{"TRACE", "TRACE", "/good", 405, "GET, HEAD"},
		{"TRACE nowhere", "TRACE", "/nope", 405, "GET, HEAD, POST"},
		{"a method nobody knows", "BREW", "/good", 405, "GET, HEAD"},
		{"nowhere", "BREW", "/nope", 405, "GET, HEAD, POST"},
		{"OPTIONS for everything", "OPTIONS", "*", 405, "GET, HEAD, POST"},
		{"two slashes at the end", "GET", "/good//", 404, ""},
		{"only slashes", "GET", "//", 404, ""},
		{"a broken escape", "GET", "/%zz", 400, ""},
		{"a broken escape in the query", "GET", "/good?x=%4", 400, ""},
		{"a percent sign at the end", "GET", "/good?x=%", 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer, body := send(t, app, tt.method, tt.target)
			want := `{"detail":"` + http.StatusText(tt.status) + `"}`
			if answer.StatusCode != tt.status || body != want {
				t.Errorf("%d %s, want %d %s", answer.StatusCode, body, tt.status, want)
			}
			if got := answer.Header.Get("Allow"); got != tt.allow {
				t.Errorf("Allow is %q, want %q", got, tt.allow)
			}
			if answer.Header.Get("X-Request-ID") == "" || answer.Header.Get("Server") != "" {
				t.Errorf("headers %v", answer.Header)
			}
		})
	}
}

func TestMetricsAndAccessLinesKnowOnlyRoutes(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	app := service(t, &log, func(o *Options) { o.Metrics = NewMetrics(registry) })
	for _, target := range []string{"/good", "/nope", "/wp-admin", "/%zz"} {
		send(t, app, "GET", target)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "latchkey_http_requests_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "route" {
					routes[label.GetValue()] += metric.GetCounter().GetValue()
				}
			}
		}
	}
	if len(routes) != 2 || routes["/good"] != 1 || routes[unrouted] != 3 {
		t.Errorf("routes are %v", routes)
	}
	if strings.Contains(log.String(), "wp-admin") {
		t.Error("the path of an unknown route is in the log")
	}
}

func TestCORS(t *testing.T) {
	app := service(t, io.Discard, func(o *Options) { o.CORSOrigins = []string{"https://app.example.org"} })
	preflight := []string{"Origin", "https://app.example.org", "Access-Control-Request-Method", "GET"}
	answer, _ := send(t, app, "OPTIONS", "/fails", preflight...)
	if answer.StatusCode != 204 || answer.Header.Get("Access-Control-Allow-Origin") != "https://app.example.org" {
		t.Errorf("preflight: %d %v", answer.StatusCode, answer.Header)
	}
	preflight[1] = "https://evil.example.org"
	if answer, _ := send(t, app, "OPTIONS", "/fails", preflight...); answer.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign origin is allowed: %v", answer.Header)
	}
	if answer, _ := send(t, app, "OPTIONS", "/good"); answer.StatusCode != 405 {
		t.Errorf("OPTIONS that is no preflight: %d", answer.StatusCode)
	}
}

func TestServicesOwnFailuresAreNoRefusals(t *testing.T) {
	for _, code := range fault.Codes() {
		if got, want := refusal(code), StatusOf(code) < 500; got != want {
			t.Errorf("%v: %v", code, got)
		}
	}
}
