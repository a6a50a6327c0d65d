package harness

import (
	"encoding/json"
	"strings"
	"testing"
)

// MustRun runs the program as an operator would, beside the service and with its settings, and demands that it succeeds.
func (tg *Target) MustRun(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := tg.Run(t, args...)
	if code != 0 {
		t.Fatalf("latchkey %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// Run is latchkey for callers that expect it to fail. What it prints of secrets is remembered.
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

// MustRunJSON runs the program and reads what it prints as JSON.
func (tg *Target) MustRunJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	text := tg.MustRun(t, args...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("latchkey %s: not the JSON expected: %v", strings.Join(args, " "), err)
	}
}
