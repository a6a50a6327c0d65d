package listener

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Certificate is the TLS certificate in two files. It is read again when what they hold changes, so that renewing it needs
// no restart. The time of a file says nothing: a copy keeps it, and a mounted secret gets it from elsewhere.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	held   [2][sha256.Size]byte // the digests of what the files held when they were last read
	looked time.Time
}

// look is how often a handshake looks at the files, at most.
const look = time.Second

// LoadCertificate reads the two files. Its error names the settings TLS_CERT_FILE and TLS_KEY_FILE.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	if _, err := c.load(true); err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE, TLS_KEY_FILE: %w", err)
	}
	return c, nil
}

// Config serves the certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get is the certificate of a handshake. One handshake at a time looks at the files; the others do not wait for it.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() {
		if now := time.Now(); now.Sub(c.looked) >= look {
			c.looked = now
			c.reload(false)
		}
		c.mu.Unlock()
	}
	return c.current.Load(), nil
}

// ReadAgain reads the files now, and says what came of it though nothing changed.
func (c *Certificate) ReadAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload(true)
}

// reload takes a new pair, and leaves the old one in place where it cannot be used, which it says once.
func (c *Certificate) reload(anyway bool) {
	switch changed, err := c.load(anyway); {
	case err != nil && changed:
		c.logger.Error("the new TLS certificate cannot be used; the old one stays", "error", err.Error())
	case err == nil && changed:
		c.logger.Info("the TLS certificate was read again")
	}
}

// load reads the files, and takes what they hold if it is something else than before, or anyway. A file that cannot be
// read holds nothing.
func (c *Certificate) load(anyway bool) (changed bool, err error) {
	var texts [2][]byte
	var held [2][sha256.Size]byte
	for i, file := range []string{c.certFile, c.keyFile} {
		text, unreadable := readRegular(file)
		if unreadable != nil {
			err = errors.Join(err, unreadable)
			continue
		}
		texts[i], held[i] = text, sha256.Sum256(text)
	}
	changed, c.held = anyway || held != c.held, held
	if err != nil || !changed {
		return changed, err
	}
	pair, err := tls.X509KeyPair(texts[0], texts[1])
	if err != nil {
		return true, err
	}
	c.current.Store(&pair)
	return true, nil
}

// readRegular reads a file that has an end: a handshake and SIGHUP would wait for a pipe.
func readRegular(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", file)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}
