//go:build !unix

package harness

import "testing"

// Pause skips the test: no signal stops a program here.
func (p *Process) Pause(t *testing.T) (resume func()) {
	t.Helper()
	t.Skip("NOT TESTED: a program cannot be paused on this system")
	return nil
}
