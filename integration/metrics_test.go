package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkMetrics: the operations address has requests, durations and refusals. The API does not show them, and no text of a
// request becomes a label.
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
		t.Error("no metrics of the Go runtime")
	}
	if strings.Contains(strings.ToLower(after), marker) || strings.Contains(strings.ToLower(after), strings.ReplaceAll(marker, "-", "")) {
		t.Error("text of a request is a label: callers could fill the memory")
	}
	for _, secret := range tg.Leaks(after) {
		t.Errorf("the metrics have %q", secret)
	}
}
