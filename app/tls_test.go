package app

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	config := testConfig(t)
	config.TLSCertFile, config.TLSKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	config.CORSOrigins = []string{"https://app.example.com"}
	listenertest.WritePair(t, config.TLSCertFile, config.TLSKeyFile, "latchkey.test", time.Now())
	address, stop, done := running(t, newApp(t, config, io.Discard))
	address = strings.TrimPrefix(address, "https://")

	roots := x509.NewCertPool()
	text, _ := os.ReadFile(config.TLSCertFile)
	roots.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "latchkey.test", MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	for long, status := range map[string]int{"": http.StatusOK, strings.Repeat("c", 17<<10): http.StatusRequestHeaderFieldsTooLarge} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+address+"/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Origin": config.CORSOrigins, "X-Long": {long}}
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		header := answer.Header
		if answer.StatusCode != status || header.Get("Strict-Transport-Security") != "max-age=31536000" ||
			header.Get("Access-Control-Allow-Origin") != config.CORSOrigins[0] {
			t.Errorf("%d with %v, want %d", answer.StatusCode, header, status)
		}
	}
	old := &tls.Config{RootCAs: roots, ServerName: "latchkey.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", address, old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
	transport.CloseIdleConnections()
	stop()
	if err := <-done; err != nil {
		t.Errorf("a clean stop returned %v", err)
	}
}
