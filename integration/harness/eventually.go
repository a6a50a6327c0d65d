package harness

import (
	"os"
	"testing"
	"time"
)

// StartTimeout bounds every wait for something a healthy program does within a second or two.
const StartTimeout = 20 * time.Second

// Unavailable ends the test because something outside the repository is missing: as a failure where CI=true, because
// there it must be present, and otherwise as a skip that says what was not tested.
func Unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true: "+format, args...)
	}
	t.Skipf("NOT TESTED: "+format, args...)
}

// Eventually waits until done says true, and fails the test when that takes longer than limit.
func Eventually(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
