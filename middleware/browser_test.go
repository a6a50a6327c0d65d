package middleware

import (
	"io"
	"testing"
)

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
