package harness

import (
	"net/http"
	"testing"
)

// StartFleet starts one instance for each database URL, all with the same secrets. The first has the administrator's key.
func StartFleet(t *testing.T, bin string, databaseURLs ...string) []*Process {
	t.Helper()
	fleet := StartFleetWithoutAdmin(t, bin, databaseURLs...)
	fleet[0].Enroll(t)
	return fleet
}

// StartFleetWithoutAdmin is StartFleet without an administrator.
func StartFleetWithoutAdmin(t *testing.T, bin string, databaseURLs ...string) []*Process {
	t.Helper()
	s := FreshSecrets()
	fleet := make([]*Process, len(databaseURLs))
	for i, databaseURL := range databaseURLs {
		fleet[i] = StartProcessIn(t, bin, t.TempDir(), s, map[string]string{"DATABASE_URL": databaseURL, "ACCESS_LOG": "false"})
	}
	return fleet
}

// WarmKey creates a key that every instance has accepted once, and a token of it.
func WarmKey(t *testing.T, fleet []*Process) (Key, string) {
	t.Helper()
	key, _ := fleet[0].IssueKey(t, Body{})
	token := key.Token()
	for _, p := range fleet {
		if status := p.WhoamiStatus(t, token); status != http.StatusOK {
			t.Fatalf("a new key: %d", status)
		}
	}
	return key, token
}
