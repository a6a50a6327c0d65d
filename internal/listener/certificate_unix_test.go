//go:build unix

package listener

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCertificateIsNotReadFromAPipe: whoever reads one waits until somebody writes.
func TestCertificateIsNotReadFromAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "tls.crt")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := LoadCertificate(pipe, pipe, nil)
		read <- err
	}()
	select {
	case err := <-read:
		if err == nil || !strings.Contains(err.Error(), pipe+" is no regular file") {
			t.Errorf("it says %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for a writer")
	}
}
