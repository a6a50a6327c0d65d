//go:build torture

package integration

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// The tests TestTorture... attack the built binary for minutes, so only the build tag torture adds them, and `task torture` runs
// them. Each prints rows: what was tried, expected and seen.

var tortureHeader sync.Once

// tortureRow prints one row of the table that `task torture` shows, and fails the test where ok is false.
func tortureRow(t *testing.T, tried, expected, seen string, ok bool) {
	t.Helper()
	tortureHeader.Do(func() { fmt.Fprintln(os.Stdout, "| case | tried | expected | seen | |\n|---|---|---|---|---|") })
	verdict := "ok"
	if !ok {
		verdict = "DIFFERS"
		t.Errorf("%s: expected %s, seen %s", tried, expected, seen)
	}
	fmt.Fprintf(os.Stdout, "| %s | %s | %s | %s | %s |\n", t.Name(), tried, expected, seen, verdict)
}

// tortureBinary is the program at TORTURE_BINARY (an older one, for comparison), or one built from this tree.
func tortureBinary(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("TORTURE_BINARY"); bin != "" {
		return bin
	}
	return harness.BuildBinary(t)
}
