package harness

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var nextLink = regexp.MustCompile(`^<([^>]+)>; rel="next"$`)

// NextPage is the path of the next page, "" on the last page.
func (tg *Target) NextPage(t *testing.T, a Answer) string {
	t.Helper()
	link := a.Header.Get("Link")
	if link == "" {
		return ""
	}
	found := nextLink.FindStringSubmatch(link)
	if found == nil {
		t.Fatalf("%s: Link %q", a.Call, link)
	}
	return strings.TrimPrefix(found[1], tg.URL)
}

// ReadList reads the items of a list.
func ReadList(t *testing.T, a Answer) []json.RawMessage {
	t.Helper()
	var items []json.RawMessage
	a.Decode(t, &items)
	return items
}

// ReadPages reads all pages of a list as the administrator.
func ReadPages[T any](t *testing.T, tg *Target, path string) []T {
	t.Helper()
	all := []T{}
	for next := path; next != ""; {
		a := tg.AsAdmin(t, http.MethodGet, next, "")
		a.Is(t, http.StatusOK, "")
		if leaked := tg.Leaks(a.Body); len(leaked) > 0 {
			t.Errorf("%s: the list has a secret: %v", a.Call, leaked)
		}
		var page []T
		a.Decode(t, &page)
		all = append(all, page...)
		if len(page) == 0 && len(all) > 0 || len(all) > 10_000 {
			t.Fatalf("%s: the list does not end", a.Call)
		}
		next = tg.NextPage(t, a)
	}
	return all
}

// NextCursor is the cursor to the second page of a list.
func (tg *Target) NextCursor(t *testing.T, path string) string {
	t.Helper()
	next, err := url.Parse(tg.NextPage(t, tg.AsAdmin(t, http.MethodGet, path, "")))
	if err != nil || next.Query().Get("cursor") == "" {
		t.Fatalf("%s has no second page: %v", path, err)
	}
	return url.QueryEscape(next.Query().Get("cursor"))
}

// AuditOf are the audit's rows in which a key is the actor or the target.
func (tg *Target) AuditOf(t *testing.T, id string) []AuditEvent {
	t.Helper()
	return ReadPages[AuditEvent](t, tg, "/service/audit?key="+id)
}
