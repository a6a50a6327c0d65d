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

// checkAudit: the audit has who changed a key, from where, and refusals of known keys. Unknown callers leave no row.
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

	// A refusal is in the audit only if the caller proved its key.
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
		t.Errorf("%d refusals of a proven key: %+v", refusals, refused)
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
