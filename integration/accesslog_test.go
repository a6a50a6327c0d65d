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

// checkAccessLog: one line a request, in JSON, with what an operator asks for.
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

// checkProbesWriteNoLine: while all is well, health checks do not fill the log; what is refused there still does.
func checkProbesWriteNoLine(t *testing.T, tg *harness.Target) {
	if tg.Log == nil {
		t.Skip("NOT TESTED: the log of a deployment cannot be read")
	}
	asked := func(c harness.Call) string {
		id := harness.FreshName()
		c.Header = map[string]string{"X-Request-ID": id}
		tg.Do(t, c)
		return id
	}
	silent := []string{asked(harness.Call{Path: "/livez"}), asked(harness.Call{Path: "/readyz"}), asked(harness.Call{Method: http.MethodHead, Path: "/readyz/"})}
	for _, id := range []string{asked(harness.Call{Method: http.MethodPost, Path: "/livez"}), asked(harness.Call{Path: "/"})} {
		harness.Eventually(t, harness.StartTimeout, "a log line with "+id, func() bool { return len(harness.AccessLines(tg.Log(t), id)) == 1 })
	}
	for _, id := range silent {
		if lines := harness.AccessLines(tg.Log(t), id); len(lines) != 0 {
			t.Errorf("a probe that was answered 200 wrote %v", lines)
		}
	}
}

// checkLogKeepsSecrets: nothing that any check of this run sent or knows as secret stands in what the service printed.
func checkLogKeepsSecrets(t *testing.T, tg *harness.Target) {
	if tg.Log == nil {
		t.Skip("NOT TESTED: the log of a deployment cannot be read")
	}
	log := tg.Log(t)
	if !strings.Contains(log, "/service/whoami") {
		t.Fatal("the log has not even the route of a request: it was not read")
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

// checkFilesKeepSecrets: whoever steals the store gets in with nothing that any check of this run was given or sent.
func checkFilesKeepSecrets(t *testing.T, tg *harness.Target) {
	if tg.Files == nil {
		t.Skip("NOT TESTED: the files of this target cannot be read")
	}
	files := tg.Files(t)
	if len(files) == 0 || !strings.Contains(strings.Join(slices.Collect(maps.Values(files)), ""), tg.Admin.ID) {
		t.Fatalf("the store was not read: it lacks even the id of a key, in %d files", len(files))
	}
	for name, content := range files {
		for at, secret := range tg.Leaks(content) {
			t.Errorf("%s has %q at byte %d", name, secret, at)
		}
	}
}

// checkMetrics: an operator sees requests, durations and refusals on the operations port, a caller does not, and no text
// from a request becomes a label.
func checkMetrics(t *testing.T, tg *harness.Target) {
	if tg.OpsURL == "" {
		t.Skip("NOT TESTED: LATCHKEY_OPS_URL does not say where the metrics are")
	}
	tg.OpsPage(t, "/livez")
	tg.OpsPage(t, "/readyz")
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/vars"} {
		tg.Do(t, harness.Call{Path: path}).IsError(t, http.StatusNotFound)
	}

	before := tg.OpsPage(t, "/metrics")
	const calls = 3
	marker := harness.FreshName()
	for range calls {
		tg.Do(t, harness.Call{Path: "/service/whoami", Token: tg.Secrets.Token()}).Is(t, http.StatusOK, "")
		tg.Do(t, harness.Call{Path: "/service/whoami", Token: harness.SignHS256(harness.HeaderHS256, tg.Secrets.Good().JSON(), "x")})
		tg.Do(t, harness.Call{Path: "/" + marker})
		tg.Do(t, harness.Call{Path: "/service/account/" + marker, Token: tg.Secrets.Token()})
		tg.Do(t, harness.Call{Method: "BREW" + strings.ToUpper(strings.ReplaceAll(marker, "-", "")), Path: "/"})
	}
	after := tg.OpsPage(t, "/metrics")
	grew := func(suffix string, labels ...string) float64 {
		return harness.SumMetric(after, suffix, labels...) - harness.SumMetric(before, suffix, labels...)
	}
	if got := grew("_requests_total", `route="/service/whoami"`, `method="GET"`, `status="200"`); got != calls {
		t.Errorf("requests of whoami with 200 grew by %v, want %d", got, calls)
	}
	if got := grew("_requests_total", `route="/service/whoami"`, `status="401"`); got != calls {
		t.Errorf("requests of whoami with 401 grew by %v, want %d", got, calls)
	}
	if got := grew("_requests_total"); got != 5*calls {
		t.Errorf("requests grew by %v, want %d", got, 5*calls)
	}
	if got := grew("_seconds_count", `route="/service/whoami"`); got != 2*calls {
		t.Errorf("the durations of whoami grew by %v, want %d", got, 2*calls)
	}
	if got := grew("_seconds_bucket", `le="+Inf"`, `route="/service/whoami"`); got != 2*calls {
		t.Errorf("the histogram of whoami grew by %v, want %d", got, 2*calls)
	}
	if got := grew("_total", `reason="signature_invalid"`); got != calls {
		t.Errorf("refusals by signature grew by %v, want %d", got, calls)
	}
	if harness.SumMetric(after, "go_goroutines") == 0 {
		t.Error("nothing about the Go runtime")
	}
	if strings.Contains(strings.ToLower(after), marker) || strings.Contains(strings.ToLower(after), strings.ReplaceAll(marker, "-", "")) {
		t.Error("text from a request is a label: anybody can fill the memory")
	}
	for _, secret := range tg.Leaks(after) {
		t.Errorf("the metrics have %q", secret)
	}
}
