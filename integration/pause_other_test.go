//go:build !unix

package integration

import "testing"

// pause skips the test: no signal stops a program here.
func (p *process) pause(t *testing.T) (resume func()) {
	t.Helper()
	t.Skip("NOT TESTED: a program cannot be paused on this system")
	return nil
}
