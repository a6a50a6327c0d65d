package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a new self-signed certificate with the given name.
func writePair(t *testing.T, certFile, keyFile, name string, changed time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(changed.Unix()), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
}

// servedBy has the certificate of dir and what it logs.
type servedBy struct {
	*certificate

	t   *testing.T
	log *bytes.Buffer
}

func serveFrom(t *testing.T, dir string) *servedBy {
	t.Helper()
	log := &bytes.Buffer{}
	c, err := loadCertificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return &servedBy{c, t, log}
}

// serves is what a handshake a second later gets.
func (s *servedBy) serves(want string) {
	s.t.Helper()
	s.looked = time.Time{}
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

// TestARenewedCertificateIsToldByItsContent: a copy that keeps its time is as new as another, and so is one from a folder
// whose files are all of the same time.
func TestARenewedCertificateIsToldByItsContent(t *testing.T) {
	dir, same := t.TempDir(), time.Now().Add(-time.Hour)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certFile, keyFile, "first", same)
	s := serveFrom(t, dir)
	s.serves("first")
	s.logged("TLS certificate", 0)

	writePair(t, certFile, keyFile, "second", same)
	s.serves("second")
	s.serves("second")
	s.logged("was read again", 1)

	writePair(t, certFile, keyFile, "older", same.Add(-time.Hour))
	s.serves("older")
	if err := os.Chtimes(certFile, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	s.serves("older")
	s.logged("was read again", 2) // the same files with another time are no news
}

func TestACertificateThatCannotBeUsedLeavesTheOld(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := loadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "TLS_CERT_FILE") {
		t.Errorf("files that are not there: %v", err)
	}
	writePair(t, certFile, keyFile, "first", time.Now())
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
	s.readAgain() // who asks is told again
	s.logged("the old one stays", 3)
	writePair(t, certFile, keyFile, "second", time.Now())
	s.serves("second")
	s.readAgain()
	s.logged("was read again", 2)
}

// TestAHandshakeDoesNotWaitForFiles: they may lie on a file system that hangs.
func TestAHandshakeDoesNotWaitForFiles(t *testing.T) {
	dir := t.TempDir()
	writePair(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), "first", time.Now())
	s := serveFrom(t, dir)
	s.mu.Lock() // as another handshake that looks at the files
	defer s.mu.Unlock()
	s.serves("first")
}
