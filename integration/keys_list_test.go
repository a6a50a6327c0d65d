package integration

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkKeyLists: an administrator finds keys by client and state, in pages, and sees which need attention.
func checkKeyLists(t *testing.T, tg *harness.Target) {
	tg.NeedAdmin(t)
	client := harness.FreshName()
	in := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339) }
	issue := func(r harness.Body) harness.Key {
		r["client"] = client
		key, _ := tg.IssueKey(t, r)
		return key
	}
	plain, soon, later := issue(harness.Body{}), issue(harness.Body{"expires_at": in(time.Hour)}), issue(harness.Body{"expires_at": in(360 * time.Hour)})
	disabled, revoked, rotated := issue(harness.Body{}), issue(harness.Body{}), issue(harness.Body{})
	tg.ExpectAccepted(t, plain)
	tg.ChangeKey(t, disabled, "disable")
	tg.ChangeKey(t, revoked, "revoke")
	successor := tg.ReadCreated(t, tg.AsAdmin(t, http.MethodPost, "/service/keys/"+rotated.ID+"/rotate", `{"grace":"720h"}`)).Key
	all := []string{plain.ID, soon.ID, later.ID, disabled.ID, revoked.ID, rotated.ID, successor.ID}

	enabled := []string{plain.ID, soon.ID, later.ID, rotated.ID, successor.ID}
	for query, want := range map[string][]string{
		"":                              all,
		"&state=":                       all,
		"&state=enabled":                enabled,
		"&state=disabled":               {disabled.ID},
		"&state=revoked":                {revoked.ID},
		"&limit=1":                      all,
		"&limit=2":                      all,
		"&limit=6":                      all,
		"&limit=7":                      all,
		"&limit=200":                    all,
		"&state=enabled&limit=2":        enabled,
		"&client=" + client + "&limit=": all,
	} {
		got := []string{}
		for _, key := range harness.ReadPages[harness.ListedKey](t, tg, "/service/keys?client="+client+query) {
			got = append(got, key.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v, oldest first", query, got, want)
		}
	}
	tg.AsAdmin(t, http.MethodGet, "/service/keys?client="+harness.FreshName(), "").Is(t, http.StatusOK, "[]")

	for _, key := range harness.ReadPages[harness.ListedKey](t, tg, "/service/keys?client="+client) {
		if wantSoon := key.ID == soon.ID; key.ExpiresSoon == nil || *key.ExpiresSoon != wantSoon {
			t.Errorf("%+v: expires_soon is not %v", key, wantSoon)
		}
		if (key.StillUsed != nil) != (key.ID == rotated.ID) {
			t.Errorf("%+v: still_used is for rotated keys", key)
		}
		if key.StillUsed != nil && *key.StillUsed {
			t.Errorf("%s was never used, but still_used is true", key.ID)
		}
	}
	for path, loc := range map[string]string{
		"?state=x": "state", "?state=ENABLED": "state", "?limit=0": "limit", "?limit=201": "limit", "?limit=x": "limit", "?cursor=x": "cursor",
		"?cursor=" + tg.NextCursor(t, "/service/audit?limit=1"): "cursor",
	} {
		tg.AsAdmin(t, http.MethodGet, "/service/keys"+path, "").IsInvalid(t, "query "+loc)
	}

	// Last use is written later, to the minute.
	harness.Eventually(t, harness.StartTimeout, "last_used_at of a key that was used", func() bool {
		var object harness.KeyObject
		tg.AsAdmin(t, http.MethodGet, "/service/keys/"+plain.ID, "").Decode(t, &object)
		if object.LastUsedAt == "" {
			return false
		}
		at, err := time.Parse(time.RFC3339, object.LastUsedAt)
		if err != nil || !at.Equal(at.Truncate(time.Minute)) || time.Since(at) > 3*time.Minute {
			t.Errorf("last_used_at %q", object.LastUsedAt)
		}
		return true
	})
}
