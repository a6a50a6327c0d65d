package integration

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkAccessLog: each request has one line in JSON, with method, route, status and client.
func checkAccessLog(t *testing.T, tg *harness.Target) {
	if tg.Log == nil {
		t.Skip("NOT TESTED: the log of a deployment cannot be read")
	}
	tests := []struct {
		name string
		c    harness.Call
		want []string // values that stand somewhere in the line
	}{
		{"answered", harness.Call{Path: "/service/account/stevenm", Token: tg.Secrets.Token()}, []string{"GET", "200", "shared"}},
		{"open", harness.Call{Path: "/"}, []string{"GET", "/", "200"}},
		{"anonymous", harness.Call{Path: "/service/whoami"}, []string{"GET", "/service/whoami", "401"}},
		{"nothing there", harness.Call{Path: "/nothing"}, []string{"GET", "404"}},
		{"wrong method", harness.Call{Method: http.MethodDelete, Path: "/service/whoami"}, []string{"DELETE", "405"}},
		{"unknown method", harness.Call{Method: "BREW", Path: "/"}, []string{"405"}},
		{"bad escape", harness.Call{Path: "/%zz"}, []string{"GET", "400"}},
		{"invalid", harness.Call{Path: "/service/account/", Token: tg.Secrets.Token()}, []string{"GET", "422", "shared"}},
	}
	for _, tt := range tests {
		id := harness.FreshName()
		tt.c.Header = map[string]string{"X-Request-ID": id}
		tg.Do(t, tt.c)
		var lines []harness.AccessLine
		harness.Eventually(t, harness.StartTimeout, tt.name+": a log line with "+id, func() bool {
			lines = harness.AccessLines(tg.Log(t), id)
			return len(lines) > 0
		})
		if len(lines) != 1 {
			t.Errorf("%s: %d lines, want one: %v", tt.name, len(lines), lines)
		}
		for _, want := range tt.want {
			if !lines[0].Has(want) {
				t.Errorf("%s: the line lacks %q: %v", tt.name, want, lines[0])
			}
		}
	}
}

// checkProbesWriteNoLine: successful probes write no line, refused ones do.
func checkProbesWriteNoLine(t *testing.T, tg *harness.Target) {
	if tg.Log == nil {
		t.Skip("NOT TESTED: the log of a deployment cannot be read")
	}
	send := func(c harness.Call) string {
		id := harness.FreshName()
		c.Header = map[string]string{"X-Request-ID": id}
		tg.Do(t, c)
		return id
	}
	silent := []string{send(harness.Call{Path: "/livez"}), send(harness.Call{Path: "/readyz"}), send(harness.Call{Method: http.MethodHead, Path: "/readyz/"})}
	for _, id := range []string{send(harness.Call{Method: http.MethodPost, Path: "/livez"}), send(harness.Call{Path: "/"})} {
		harness.Eventually(t, harness.StartTimeout, "a log line with "+id, func() bool { return len(harness.AccessLines(tg.Log(t), id)) == 1 })
	}
	for _, id := range silent {
		if lines := harness.AccessLines(tg.Log(t), id); len(lines) != 0 {
			t.Errorf("a probe that was answered 200 wrote %v", lines)
		}
	}
}

// checkLogKeepsSecrets: no secret of this run is in the log.
func checkLogKeepsSecrets(t *testing.T, tg *harness.Target) {
	if tg.Log == nil {
		t.Skip("NOT TESTED: the log of a deployment cannot be read")
	}
	log := tg.Log(t)
	if !strings.Contains(log, "/service/whoami") {
		t.Fatal("the log has no request: it was not read")
	}
	for at, secret := range tg.Leaks(log) {
		t.Errorf("the log has %q: ...%s", secret, log[max(0, at-200):min(len(log), at+len(secret)+50)])
	}
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line is not JSON: %s", line)
		}
	}
}

// checkFilesKeepSecrets: no secret of this run is in the store.
func checkFilesKeepSecrets(t *testing.T, tg *harness.Target) {
	if tg.Files == nil {
		t.Skip("NOT TESTED: the files of this target cannot be read")
	}
	files := tg.Files(t)
	if len(files) == 0 || !strings.Contains(strings.Join(slices.Collect(maps.Values(files)), ""), tg.Admin.ID) {
		t.Fatalf("the store was not read: no key id in %d files", len(files))
	}
	for name, content := range files {
		for at, secret := range tg.Leaks(content) {
			t.Errorf("%s has %q at byte %d", name, secret, at)
		}
	}
}
