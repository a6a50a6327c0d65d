//go:build unix

package harness

import (
	"syscall"
	"testing"
)

// Pause stops the program in the middle of whatever it does, until the function that it gives is called.
func (p *Process) Pause(t *testing.T) (resume func()) {
	t.Helper()
	p.Signal(t, syscall.SIGSTOP)
	return func() { p.Signal(t, syscall.SIGCONT) }
}
