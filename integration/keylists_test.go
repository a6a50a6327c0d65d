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
)

// checkKeyLists: an administrator finds a key by client and state, page by page, and sees which need attention.
func checkKeyLists(t *testing.T, tg *target) {
	tg.needsAdmin(t)
	client := freshName()
	in := func(d time.Duration) string { return time.Now().Add(d).Format(time.RFC3339) }
	issue := func(r request) clientKey {
		r["client"] = client
		key, _ := tg.issue(t, r)
		return key
	}
	plain, soon, later := issue(request{}), issue(request{"expires_at": in(time.Hour)}), issue(request{"expires_at": in(360 * time.Hour)})
	disabled, revoked, rotated := issue(request{}), issue(request{}), issue(request{})
	tg.passes(t, plain)
	tg.change(t, disabled, "disable")
	tg.change(t, revoked, "revoke")
	successor := tg.made(t, tg.administer(t, http.MethodPost, "/service/keys/"+rotated.id+"/rotate", `{"grace":"720h"}`)).key
	all := []string{plain.id, soon.id, later.id, disabled.id, revoked.id, rotated.id, successor.id}

	enabled := []string{plain.id, soon.id, later.id, rotated.id, successor.id}
	for query, want := range map[string][]string{
		"":                              all,
		"&state=":                       all,
		"&state=enabled":                enabled,
		"&state=disabled":               {disabled.id},
		"&state=revoked":                {revoked.id},
		"&limit=1":                      all,
		"&limit=2":                      all,
		"&limit=6":                      all,
		"&limit=7":                      all,
		"&limit=200":                    all,
		"&state=enabled&limit=2":        enabled,
		"&client=" + client + "&limit=": all,
	} {
		got := []string{}
		for _, key := range pages[listedKey](t, tg, "/service/keys?client="+client+query) {
			got = append(got, key.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v, oldest first", query, got, want)
		}
	}
	tg.administer(t, http.MethodGet, "/service/keys?client="+freshName(), "").is(t, http.StatusOK, "[]")

	for _, key := range pages[listedKey](t, tg, "/service/keys?client="+client) {
		if wantSoon := key.ID == soon.id; key.ExpiresSoon == nil || *key.ExpiresSoon != wantSoon {
			t.Errorf("%+v: expires_soon is not %v", key, wantSoon)
		}
		if (key.StillUsed != nil) != (key.ID == rotated.id) {
			t.Errorf("%+v: still_used is for rotated keys", key)
		}
		if key.StillUsed != nil && *key.StillUsed {
			t.Errorf("%s is said to be still used, and never was", key.ID)
		}
	}
	for path, loc := range map[string]string{
		"?state=x": "state", "?state=ENABLED": "state", "?limit=0": "limit", "?limit=201": "limit", "?limit=x": "limit", "?cursor=x": "cursor",
		"?cursor=" + tg.nextCursor(t, "/service/audit?limit=1"): "cursor",
	} {
		tg.administer(t, http.MethodGet, "/service/keys"+path, "").invalid(t, "query "+loc)
	}

	// Last use is written by and by, to the minute.
	eventually(t, startLimit, "last_used_at of a key that was used", func() bool {
		var object keyObject
		tg.administer(t, http.MethodGet, "/service/keys/"+plain.id, "").decode(t, &object)
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
func checkAudit(t *testing.T, tg *target) {
	tg.needsAdmin(t)
	began := time.Now().Add(-time.Second)
	key, _ := tg.issue(t, request{})
	verbs, ids := []string{"disable", "enable", "rotate", "revoke"}, map[string]string{}
	for _, verb := range verbs {
		ids[verb] = freshName()
		tg.do(t, call{
			method: http.MethodPost, path: "/service/keys/" + key.id + "/" + verb, token: tg.admin.token(),
			header: map[string]string{"X-Request-ID": ids[verb]},
		})
	}
	rows := tg.audited(t, key.id)
	if len(rows) != 1+len(verbs) {
		t.Fatalf("the audit of %s: %+v", key.id, rows)
	}
	for i, verb := range append([]string{"create"}, verbs...) {
		row := rows[i]
		if row.Action != verb || row.Actor != tg.admin.id || row.Target != key.id || row.Count != 1 || !within(t, row.Time, 0) {
			t.Errorf("row %d is %+v, want %s of %s by %s", i, row, verb, key.id, tg.admin.id)
		}
		if _, err := netip.ParseAddr(row.Address); err != nil || !validRequestID.MatchString(row.RequestID) || ids[verb] != "" && row.RequestID != ids[verb] {
			t.Errorf("row %d is %+v, want request id %q and an address", i, row, ids[verb])
		}
	}

	// Who proves a key and is refused, leaves a trace; who only names one, does not.
	curious, _ := tg.issue(t, request{})
	const refusals = 3
	for range refusals {
		for _, stranger := range []string{"", garbage, curious.forged(curious.good())} {
			tg.do(t, call{path: "/service/keys", token: stranger}).is(t, http.StatusUnauthorized, "")
		}
		tg.do(t, call{path: "/service/keys", token: curious.token()}).is(t, http.StatusForbidden, "")
	}
	var refused []event
	counted := func() (total int) {
		refused = slices.DeleteFunc(tg.audited(t, curious.id), func(e event) bool { return e.Action != "refused" })
		for _, row := range refused {
			total += row.Count
		}
		return total
	}
	eventually(t, startLimit, "the refusals are in the audit", func() bool { return counted() >= refusals })
	if counted() != refusals || len(refused) > refusals {
		t.Errorf("%d refusals of a key that proved itself: %+v", refusals, refused)
	}
	for _, row := range refused {
		if _, err := netip.ParseAddr(row.Address); err != nil || row.Actor != curious.id || row.RequestID == "" || !strings.Contains(row.Target, "/service/keys") {
			t.Errorf("refused: %+v", row)
		}
	}

	since := func(at time.Time) string { return "/service/audit?since=" + url.QueryEscape(at.Format(time.RFC3339)) }
	for _, limit := range []int{1, 2, 200} {
		got := pages[event](t, tg, since(began)+fmt.Sprintf("&key=%s&limit=%d", key.id, limit))
		if !slices.Equal(got, rows) {
			t.Errorf("since %s in pages of %d: %+v, want %+v", began, limit, got, rows)
		}
	}
	tg.administer(t, http.MethodGet, since(time.Now().Add(time.Hour)), "").is(t, http.StatusOK, "[]")
	tg.administer(t, http.MethodGet, "/service/audit?key="+unknownID("E"), "").is(t, http.StatusOK, "[]")
	for query, loc := range map[string]string{
		"since=yesterday": "since", "since=1": "since", "limit=0": "limit", "limit=201": "limit", "cursor=x": "cursor",
		"cursor=" + tg.nextCursor(t, "/service/keys?limit=1"): "cursor",
	} {
		tg.administer(t, http.MethodGet, "/service/audit?"+query, "").invalid(t, "query "+loc)
	}
}
