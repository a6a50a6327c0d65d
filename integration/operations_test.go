package integration

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// checkAccessLog: one line a request, in JSON, with what an operator asks for.
func checkAccessLog(t *testing.T, tg *target) {
	if tg.log == nil {
		t.Skip("NOT TESTED: the log of a deployment cannot be read")
	}
	tests := []struct {
		name string
		c    call
		want []string // values that stand somewhere in the line
	}{
		{"answered", call{path: "/service/account/stevenm", token: tg.secrets.token()}, []string{"GET", "200", "shared"}},
		{"open", call{path: "/"}, []string{"GET", "/", "200"}},
		{"anonymous", call{path: "/service/whoami"}, []string{"GET", "/service/whoami", "401"}},
		{"nothing there", call{path: "/nothing"}, []string{"GET", "404"}},
		{"wrong method", call{method: http.MethodDelete, path: "/service/whoami"}, []string{"DELETE", "405"}},
		{"unknown method", call{method: "BREW", path: "/"}, []string{"405"}},
		{"bad escape", call{path: "/%zz"}, []string{"GET", "400"}},
		{"invalid", call{path: "/service/account/", token: tg.secrets.token()}, []string{"GET", "422", "shared"}},
	}
	for _, tt := range tests {
		id := freshName()
		tt.c.header = map[string]string{"X-Request-ID": id}
		tg.do(t, tt.c)
		var lines []accessLine
		eventually(t, startLimit, tt.name+": a log line with "+id, func() bool {
			lines = accessLines(tg.log(t), id)
			return len(lines) > 0
		})
		if len(lines) != 1 {
			t.Errorf("%s: %d lines, want one: %v", tt.name, len(lines), lines)
		}
		for _, want := range tt.want {
			if !lines[0].has(want) {
				t.Errorf("%s: the line lacks %q: %v", tt.name, want, lines[0])
			}
		}
	}
}

// checkProbesWriteNoLine: while all is well, health checks do not fill the log; what is refused there still does.
func checkProbesWriteNoLine(t *testing.T, tg *target) {
	if tg.log == nil {
		t.Skip("NOT TESTED: the log of a deployment cannot be read")
	}
	asked := func(c call) string {
		id := freshName()
		c.header = map[string]string{"X-Request-ID": id}
		tg.do(t, c)
		return id
	}
	silent := []string{asked(call{path: "/livez"}), asked(call{path: "/readyz"}), asked(call{method: http.MethodHead, path: "/readyz/"})}
	for _, id := range []string{asked(call{method: http.MethodPost, path: "/livez"}), asked(call{path: "/"})} {
		eventually(t, startLimit, "a log line with "+id, func() bool { return len(accessLines(tg.log(t), id)) == 1 })
	}
	for _, id := range silent {
		if lines := accessLines(tg.log(t), id); len(lines) != 0 {
			t.Errorf("a probe that was answered 200 wrote %v", lines)
		}
	}
}

// checkLogKeepsSecrets: nothing that any check of this run sent or knows as secret stands in what the service printed.
func checkLogKeepsSecrets(t *testing.T, tg *target) {
	if tg.log == nil {
		t.Skip("NOT TESTED: the log of a deployment cannot be read")
	}
	log := tg.log(t)
	if !strings.Contains(log, "/service/whoami") {
		t.Fatal("the log has not even the route of a request: it was not read")
	}
	for at, secret := range tg.leaks(log) {
		t.Errorf("the log has %q: ...%s", secret, log[max(0, at-200):min(len(log), at+len(secret)+50)])
	}
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line is not JSON: %s", line)
		}
	}
}

// checkFilesKeepSecrets: whoever steals the store gets in with nothing that any check of this run was given or sent.
func checkFilesKeepSecrets(t *testing.T, tg *target) {
	if tg.files == nil {
		t.Skip("NOT TESTED: the files of this target cannot be read")
	}
	files := tg.files(t)
	if len(files) == 0 || !strings.Contains(strings.Join(slices.Collect(maps.Values(files)), ""), tg.admin.id) {
		t.Fatalf("the store was not read: it lacks even the id of a key, in %d files", len(files))
	}
	for name, content := range files {
		for at, secret := range tg.leaks(content) {
			t.Errorf("%s has %q at byte %d", name, secret, at)
		}
	}
}

// checkMetrics: an operator sees requests, durations and refusals on the operations port, a caller does not, and no text
// from a request becomes a label.
func checkMetrics(t *testing.T, tg *target) {
	if tg.opsURL == "" {
		t.Skip("NOT TESTED: LATCHKEY_OPS_URL does not say where the metrics are")
	}
	tg.opsPage(t, "/livez")
	tg.opsPage(t, "/readyz")
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/vars"} {
		tg.do(t, call{path: path}).says(t, http.StatusNotFound)
	}

	before := tg.opsPage(t, "/metrics")
	const calls = 3
	marker := freshName()
	for range calls {
		tg.do(t, call{path: "/service/whoami", token: tg.secrets.token()}).is(t, http.StatusOK, "")
		tg.do(t, call{path: "/service/whoami", token: signed(headerHS256, tg.secrets.good().json(), "x")})
		tg.do(t, call{path: "/" + marker})
		tg.do(t, call{path: "/service/account/" + marker, token: tg.secrets.token()})
		tg.do(t, call{method: "BREW" + strings.ToUpper(strings.ReplaceAll(marker, "-", "")), path: "/"})
	}
	after := tg.opsPage(t, "/metrics")
	grew := func(suffix string, labels ...string) float64 {
		return sum(after, suffix, labels...) - sum(before, suffix, labels...)
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
	if sum(after, "go_goroutines") == 0 {
		t.Error("nothing about the Go runtime")
	}
	if strings.Contains(strings.ToLower(after), marker) || strings.Contains(strings.ToLower(after), strings.ReplaceAll(marker, "-", "")) {
		t.Error("text from a request is a label: anybody can fill the memory")
	}
	for _, secret := range tg.leaks(after) {
		t.Errorf("the metrics have %q", secret)
	}
}
