package harness

import (
	"os"
	"testing"
	"time"
)

// StartTimeout is for what a healthy program does within two seconds.
const StartTimeout = 20 * time.Second

// Unavailable ends the test because a tool or a server is missing. With CI=true that is a failure, elsewhere a skip.
func Unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true: "+format, args...)
	}
	t.Skipf("NOT TESTED: "+format, args...)
}

// Eventually waits until done reports true. After the timeout the test fails.
func Eventually(t *testing.T, timeout time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.After(timeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", timeout, what)
		}
	}
}
