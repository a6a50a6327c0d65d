package listener

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/internal/listener/listenertest"
)

// servedBy has the certificate of dir and what it logs.
type servedBy struct {
	*Certificate

	t   *testing.T
	log *bytes.Buffer
}

func serveFrom(t *testing.T, dir string) *servedBy {
	t.Helper()
	log := &bytes.Buffer{}
	c, err := LoadCertificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return &servedBy{c, t, log}
}

// serves is what a handshake a second later gets.
func (s *servedBy) serves(want string) {
	s.t.Helper()
	s.checked = time.Time{}
	served, err := s.get(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(served.Certificate[0])
	if err != nil || leaf.DNSNames[0] != want {
		s.t.Errorf("serves %v, want %s", leaf.DNSNames, want)
	}
}

func (s *servedBy) logged(text string, times int) {
	s.t.Helper()
	if got := strings.Count(s.log.String(), text); got != times {
		s.t.Errorf("the log says %q %d times, want %d:\n%s", text, got, times, s.log)
	}
}

// TestCertificateIsComparedByContent: a copy that keeps its time is as new as another, and so is one from a folder
// whose files are all of the same time.
func TestCertificateIsComparedByContent(t *testing.T) {
	dir, same := t.TempDir(), time.Now().Add(-time.Hour)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	listenertest.WritePair(t, certFile, keyFile, "first", same)
	s := serveFrom(t, dir)
	s.serves("first")
	s.logged("TLS certificate", 0)

	listenertest.WritePair(t, certFile, keyFile, "second", same)
	s.serves("second")
	s.serves("second")
	s.logged("was read again", 1)

	listenertest.WritePair(t, certFile, keyFile, "older", same.Add(-time.Hour))
	s.serves("older")
	if err := os.Chtimes(certFile, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	s.serves("older")
	s.logged("was read again", 2) // the same files with another time are no news
}

func TestCertificateThatCannotBeUsedLeavesTheOld(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "TLS_CERT_FILE") {
		t.Errorf("files that are not there: %v", err)
	}
	listenertest.WritePair(t, certFile, keyFile, "first", time.Now())
	s := serveFrom(t, dir)
	for i, spoil := range []func() error{
		func() error { return os.WriteFile(certFile, []byte("half a file"), 0o600) },
		func() error { return os.Remove(keyFile) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		s.serves("first")
		s.serves("first")
		s.logged("the old one stays", i+1)
	}
	s.ReadAgain() // who asks is told again
	s.logged("the old one stays", 3)
	listenertest.WritePair(t, certFile, keyFile, "second", time.Now())
	s.serves("second")
	s.ReadAgain()
	s.logged("was read again", 2)
}

// TestCertificateOfAHandshakeDoesNotWaitForFiles: they may lie on a file system that hangs.
func TestCertificateOfAHandshakeDoesNotWaitForFiles(t *testing.T) {
	dir := t.TempDir()
	listenertest.WritePair(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), "first", time.Now())
	s := serveFrom(t, dir)
	s.mu.Lock() // as another handshake that looks at the files
	defer s.mu.Unlock()
	s.serves("first")
}
