//go:build unix

package integration

import (
	"syscall"
	"testing"
)

// pause stops the program in the middle of whatever it does, until the function that it gives is called.
func (p *process) pause(t *testing.T) (resume func()) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	return func() { p.signal(t, syscall.SIGCONT) }
}
