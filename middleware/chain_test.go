package middleware

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

func TestChainAnswersAFailureOnceAndLogsItsCause(t *testing.T) {
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

func TestChainAnswersAPanicOfItsOwn(t *testing.T) {
	var log bytes.Buffer
	handler := service(t, &log, func(o *Options) { o.Metrics = nil }).Handler()
	var request fasthttp.RequestCtx
	request.Request.SetRequestURI("/good")
	handler(&request)
	if status := request.Response.StatusCode(); status != http.StatusInternalServerError || len(lines(t, &log, "panic")) != 1 {
		t.Errorf("%d, %s", status, log.String())
	}
}

func TestChainRefusesBeforeRouting(t *testing.T) {
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

func TestMetricsAndAccessLogNameOnlyRoutes(t *testing.T) {
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
