package integration

import (
	"net/http"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// StartFleet starts the program once for each URL of a database: instances with the same secrets. The first one
// administrates.
func StartFleet(t *testing.T, bin string, databaseURLs ...string) []*harness.Process {
	t.Helper()
	fleet := StartFleetWithoutAdmin(t, bin, databaseURLs...)
	fleet[0].Enroll(t)
	return fleet
}

// StartFleetWithoutAdmin is startFleet without an administrator.
func StartFleetWithoutAdmin(t *testing.T, bin string, databaseURLs ...string) []*harness.Process {
	t.Helper()
	s := harness.FreshSecrets()
	fleet := make([]*harness.Process, len(databaseURLs))
	for i, databaseURL := range databaseURLs {
		fleet[i] = harness.StartProcessIn(t, bin, t.TempDir(), s, map[string]string{"DATABASE_URL": databaseURL, "ACCESS_LOG": "false"})
	}
	return fleet
}

// WarmKey gives a key that both instances have just accepted, and a token of it.
func WarmKey(t *testing.T, fleet []*harness.Process) (harness.Key, string) {
	t.Helper()
	key, _ := fleet[0].IssueKey(t, harness.Body{})
	token := key.Token()
	for _, p := range fleet {
		if status := p.WhoamiStatus(t, token); status != http.StatusOK {
			t.Fatalf("a new key: %d", status)
		}
	}
	return key, token
}
