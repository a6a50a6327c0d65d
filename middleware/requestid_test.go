package middleware

import (
	"io"
	"strings"
	"testing"
)

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
