package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// flooded is a listener whose Accept fails with each of errs in turn, and then gives a connection.
type flooded struct {
	net.Listener

	errs []error
	conn net.Conn
}

func (f *flooded) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		return f.conn, nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
}

func (f *flooded) Close() error { return nil }

func patient(errs ...error) *patientListener {
	conn, _ := net.Pipe()
	return &patientListener{
		Listener: &flooded{errs: errs, conn: conn},
		logger:   slog.New(slog.DiscardHandler), closed: make(chan struct{}),
	}
}

func TestAFloodDoesNotEndTheListener(t *testing.T) {
	l := patient(syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.EMFILE, syscall.ENOMEM, syscall.EHOSTUNREACH)
	if conn, err := l.Accept(); err != nil || conn == nil {
		t.Errorf("the listener ended: %v", err)
	}
	if _, err := patient(syscall.EINVAL).Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("an error that does not pass: %v", err)
	}
	closing := patient(syscall.EMFILE, syscall.EMFILE)
	if err := closing.Close(); err != nil {
		t.Fatal(err)
	}
	if err := closing.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := closing.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("waits on although it is closed: %v", err)
	}
}

func TestConcurrencyLeavesDescriptorsFree(t *testing.T) {
	if got := concurrency(); got < 1 || got > maxConnections || got > max(1, descriptorLimit()/2) {
		t.Errorf("%d connections with %d descriptors", got, descriptorLimit())
	}
}

func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	config := testConfig(t)
	config.TLSCertFile, config.TLSKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	config.CORSOrigins = []string{"https://app.example.com"}
	writePair(t, config.TLSCertFile, config.TLSKeyFile, "latchkey.test", time.Now())
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
