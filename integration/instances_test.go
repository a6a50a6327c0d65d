package integration

import (
	"net/http"
	"testing"
)

// startFleet starts the program once for each URL of a database: instances with the same secrets. The first one
// administrates.
func startFleet(t *testing.T, bin string, databaseURLs ...string) []*process {
	t.Helper()
	fleet := startUnenrolled(t, bin, databaseURLs...)
	fleet[0].enroll(t)
	return fleet
}

// startUnenrolled is startFleet without an administrator.
func startUnenrolled(t *testing.T, bin string, databaseURLs ...string) []*process {
	t.Helper()
	s := freshSecrets()
	fleet := make([]*process, len(databaseURLs))
	for i, databaseURL := range databaseURLs {
		fleet[i] = startProcessIn(t, bin, t.TempDir(), s, map[string]string{"DATABASE_URL": databaseURL, "ACCESS_LOG": "false"})
	}
	return fleet
}

// warm gives a key that both instances have just accepted, and a token of it.
func warm(t *testing.T, fleet []*process) (clientKey, string) {
	t.Helper()
	key, _ := fleet[0].issue(t, request{})
	token := key.token()
	for _, p := range fleet {
		if status := p.whoami(t, token); status != http.StatusOK {
			t.Fatalf("a new key: %d", status)
		}
	}
	return key, token
}
