package harness

import (
	"encoding/json"
	"strings"
	"testing"
)

// MustRun runs a command of the program beside the service, as an operator does. It must succeed.
func (tg *Target) MustRun(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := tg.Run(t, args...)
	if code != 0 {
		t.Fatalf("latchkey %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// Run is MustRun for commands that may fail. Secrets in the output are remembered.
func (tg *Target) Run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	stdout, stderr, code = tg.CLI(t, args...)
	for _, text := range KeyString.FindAllString(stdout+" "+stderr, -1) {
		tg.RememberKey(t, text)
	}
	if KeyString.MatchString(stderr) {
		t.Errorf("latchkey %s: a key string on stderr", args[0])
	}
	return stdout, stderr, code
}

// MustRunJSON is MustRun for commands that print JSON.
func (tg *Target) MustRunJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	text := tg.MustRun(t, args...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("latchkey %s: unexpected JSON: %v", strings.Join(args, " "), err)
	}
}
