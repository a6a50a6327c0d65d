package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkWhoami: whoami has the key, the client, the expiry, and the scopes after narrowing.
func checkWhoami(t *testing.T, tg *harness.Target) {
	every := tg.EveryScope(t)
	all := slices.DeleteFunc(slices.Clone(every), func(scope string) bool { return scope == "keys:admin" })
	good := tg.Secrets.Good()
	expires := time.Unix(good["exp"].(int64), 0).UTC().Format("2006-01-02T15:04:05Z")
	tests := []struct {
		name   string
		c      harness.Claims
		scopes []string
	}{
		{"no scope claim", good, all},
		{"one scope", good.With("scope", "accounts:read"), []string{"accounts:read"}},
		{"sorted, and only what the key has", good.With("scope", "storyspaces:read keys:admin accounts:read"), []string{"accounts:read", "storyspaces:read"}},
		{"a name nobody knows", good.With("scope", "accounts:delete"), nil},
		{"one twice", good.With("scope", "accounts:read accounts:read"), []string{"accounts:read"}},
		{"empty", good.With("scope", ""), nil},
		{"all", good.With("scope", strings.Join(every, " ")), all},
	}
	for _, tt := range tests {
		a := tg.Do(t, harness.Call{Path: "/service/whoami", Token: tg.Secrets.JWT(tt.c)})
		a.Is(t, http.StatusOK, "")
		var got harness.Whoami
		a.Decode(t, &got)
		if got.Key != "shared" || got.Client != "shared" || got.ExpiresAt != expires {
			t.Errorf("%s: %s, want key and client shared, expires_at %s", tt.name, a.Body, expires)
		}
		if !slices.Equal(got.Scopes, tt.scopes) || got.Scopes == nil {
			t.Errorf("%s: scopes %s, want %q", tt.name, a.Body, tt.scopes)
		}
	}
}
