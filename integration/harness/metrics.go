package harness

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// sample is one line of the Prometheus text format.
var sample = regexp.MustCompile(`(?m)^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)`)

// OpsPage reads a page of the operations address. The checks of Do do not apply there.
func (tg *Target) OpsPage(t *testing.T, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tg.OpsURL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := HTTPClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s on the operations port: %d %s, %v", path, resp.StatusCode, text, err)
	}
	return string(text)
}

// SumMetric adds up the samples whose name ends in suffix and whose labels contain all these texts.
func SumMetric(metrics, suffix string, labels ...string) float64 {
	total := 0.0
	for _, found := range sample.FindAllStringSubmatch(metrics, -1) {
		fits := strings.HasSuffix(found[1], suffix)
		for _, label := range labels {
			fits = fits && strings.Contains(found[2], label)
		}
		if value, err := strconv.ParseFloat(found[3], 64); fits && err == nil {
			total += value
		}
	}
	return total
}
