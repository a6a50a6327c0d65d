package integration

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkKeyLists: an administrator finds a key by client and state, page by page, and sees which need attention.
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
			t.Errorf("%s is said to be still used, and never was", key.ID)
		}
	}
	for path, loc := range map[string]string{
		"?state=x": "state", "?state=ENABLED": "state", "?limit=0": "limit", "?limit=201": "limit", "?limit=x": "limit", "?cursor=x": "cursor",
		"?cursor=" + tg.NextCursor(t, "/service/audit?limit=1"): "cursor",
	} {
		tg.AsAdmin(t, http.MethodGet, "/service/keys"+path, "").IsInvalid(t, "query "+loc)
	}

	// Last use is written by and by, to the minute.
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

// checkAudit: the audit says who did what to a key, from where, and whom it turned away; of strangers it says nothing.
func checkAudit(t *testing.T, tg *harness.Target) {
	tg.NeedAdmin(t)
	began := time.Now().Add(-time.Second)
	key, _ := tg.IssueKey(t, harness.Body{})
	verbs, ids := []string{"disable", "enable", "rotate", "revoke"}, map[string]string{}
	for _, verb := range verbs {
		ids[verb] = harness.FreshName()
		tg.Do(t, harness.Call{
			Method: http.MethodPost, Path: "/service/keys/" + key.ID + "/" + verb, Token: tg.Admin.Token(),
			Header: map[string]string{"X-Request-ID": ids[verb]},
		})
	}
	rows := tg.AuditOf(t, key.ID)
	if len(rows) != 1+len(verbs) {
		t.Fatalf("the audit of %s: %+v", key.ID, rows)
	}
	for i, verb := range append([]string{"create"}, verbs...) {
		row := rows[i]
		if row.Action != verb || row.Actor != tg.Admin.ID || row.Target != key.ID || row.Count != 1 || !within(t, row.Time, 0) {
			t.Errorf("row %d is %+v, want %s of %s by %s", i, row, verb, key.ID, tg.Admin.ID)
		}
		if _, err := netip.ParseAddr(row.Address); err != nil || !harness.ValidRequestID.MatchString(row.RequestID) || ids[verb] != "" && row.RequestID != ids[verb] {
			t.Errorf("row %d is %+v, want request id %q and an address", i, row, ids[verb])
		}
	}

	// Who proves a key and is refused, leaves a trace; who only names one, does not.
	curious, _ := tg.IssueKey(t, harness.Body{})
	const refusals = 3
	for range refusals {
		for _, stranger := range []string{"", garbage, curious.Forged(curious.Good())} {
			tg.Do(t, harness.Call{Path: "/service/keys", Token: stranger}).Is(t, http.StatusUnauthorized, "")
		}
		tg.Do(t, harness.Call{Path: "/service/keys", Token: curious.Token()}).Is(t, http.StatusForbidden, "")
	}
	var refused []harness.AuditEvent
	counted := func() (total int) {
		refused = slices.DeleteFunc(tg.AuditOf(t, curious.ID), func(e harness.AuditEvent) bool { return e.Action != "refused" })
		for _, row := range refused {
			total += row.Count
		}
		return total
	}
	harness.Eventually(t, harness.StartTimeout, "the refusals are in the audit", func() bool { return counted() >= refusals })
	if counted() != refusals || len(refused) > refusals {
		t.Errorf("%d refusals of a key that proved itself: %+v", refusals, refused)
	}
	for _, row := range refused {
		if _, err := netip.ParseAddr(row.Address); err != nil || row.Actor != curious.ID || row.RequestID == "" || !strings.Contains(row.Target, "/service/keys") {
			t.Errorf("refused: %+v", row)
		}
	}

	since := func(at time.Time) string { return "/service/audit?since=" + url.QueryEscape(at.Format(time.RFC3339)) }
	for _, limit := range []int{1, 2, 200} {
		got := harness.ReadPages[harness.AuditEvent](t, tg, since(began)+fmt.Sprintf("&key=%s&limit=%d", key.ID, limit))
		if !slices.Equal(got, rows) {
			t.Errorf("since %s in pages of %d: %+v, want %+v", began, limit, got, rows)
		}
	}
	tg.AsAdmin(t, http.MethodGet, since(time.Now().Add(time.Hour)), "").Is(t, http.StatusOK, "[]")
	tg.AsAdmin(t, http.MethodGet, "/service/audit?key="+harness.UnknownKeyID("E"), "").Is(t, http.StatusOK, "[]")
	for query, loc := range map[string]string{
		"since=yesterday": "since", "since=1": "since", "limit=0": "limit", "limit=201": "limit", "cursor=x": "cursor",
		"cursor=" + tg.NextCursor(t, "/service/keys?limit=1"): "cursor",
	} {
		tg.AsAdmin(t, http.MethodGet, "/service/audit?"+query, "").IsInvalid(t, "query "+loc)
	}
}
