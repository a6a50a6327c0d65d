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

// Certificate is a TLS certificate with its key, in two files. It is reloaded when the content of a file changes, so a
// renewal needs no restart. Times of files are not compared: a copy may keep the old time, and so may a mounted secret.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate]

	mu      sync.Mutex
	digests [2][sha256.Size]byte // of both files, when they were last read
	checked time.Time
}

// checkInterval is the shortest time between two handshakes that read the files.
const checkInterval = time.Second

// LoadCertificate reads both files. Its error names the settings TLS_CERT_FILE and TLS_KEY_FILE.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	if _, err := c.load(true); err != nil {
		return nil, fmt.Errorf("TLS_CERT_FILE, TLS_KEY_FILE: %w", err)
	}
	return c, nil
}

// Config is for a server that uses the certificate: TLS 1.2 or newer.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get is the certificate for a handshake. One handshake at a time reads the files; the others do not wait for it.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() {
		if now := time.Now(); now.Sub(c.checked) >= checkInterval {
			c.checked = now
			c.reload(false)
		}
		c.mu.Unlock()
	}
	return c.current.Load(), nil
}

// ReadAgain reads the files now, and logs the result even when nothing has changed.
func (c *Certificate) ReadAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload(true)
}

// reload uses a new certificate. One that cannot be used is logged once, and the old one stays. force is as with load.
func (c *Certificate) reload(force bool) {
	switch changed, err := c.load(force); {
	case err != nil && changed:
		c.logger.Error("the new TLS certificate cannot be used; the old one stays", "error", err.Error())
	case err == nil && changed:
		c.logger.Info("the TLS certificate was read again")
	}
}

// load reads the files, and uses their content when it has changed. With force, unchanged content counts as changed. A file
// that cannot be read counts as empty.
func (c *Certificate) load(force bool) (changed bool, err error) {
	var texts [2][]byte
	var digests [2][sha256.Size]byte
	for i, file := range []string{c.certFile, c.keyFile} {
		text, unreadable := readRegular(file)
		if unreadable != nil {
			err = errors.Join(err, unreadable)
			continue
		}
		texts[i], digests[i] = text, sha256.Sum256(text)
	}
	changed, c.digests = force || digests != c.digests, digests
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

// readRegular refuses everything but a regular file: reading a pipe could block a handshake for ever.
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
