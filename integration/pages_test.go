package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var nextLink = regexp.MustCompile(`^<([^>]+)>; rel="next"$`)

// nextPage is the path of the next page, or "" on the last.
func (tg *target) nextPage(t *testing.T, a answer) string {
	t.Helper()
	link := a.header.Get("Link")
	if link == "" {
		return ""
	}
	found := nextLink.FindStringSubmatch(link)
	if found == nil {
		t.Fatalf("%s: Link %q", a.call, link)
	}
	return strings.TrimPrefix(found[1], tg.url)
}

// listed is the list that the answer is.
func listed(t *testing.T, a answer) []json.RawMessage {
	t.Helper()
	var items []json.RawMessage
	a.decode(t, &items)
	return items
}

// pages is a list whose pages were followed to the end, as the administrator.
func pages[T any](t *testing.T, tg *target, path string) []T {
	t.Helper()
	all := []T{}
	for next := path; next != ""; {
		a := tg.administer(t, http.MethodGet, next, "")
		a.is(t, http.StatusOK, "")
		if leaked := tg.leaks(a.body); len(leaked) > 0 {
			t.Errorf("%s: the list has a secret: %v", a.call, leaked)
		}
		var page []T
		a.decode(t, &page)
		all = append(all, page...)
		if len(page) == 0 && len(all) > 0 || len(all) > 10_000 {
			t.Fatalf("%s: the list does not end", a.call)
		}
		next = tg.nextPage(t, a)
	}
	return all
}

// nextCursor is the cursor to the second page of a list.
func (tg *target) nextCursor(t *testing.T, path string) string {
	t.Helper()
	next, err := url.Parse(tg.nextPage(t, tg.administer(t, http.MethodGet, path, "")))
	if err != nil || next.Query().Get("cursor") == "" {
		t.Fatalf("%s has no second page: %v", path, err)
	}
	return url.QueryEscape(next.Query().Get("cursor"))
}

// audited are the rows of the audit about a key, or by it.
func (tg *target) audited(t *testing.T, id string) []event {
	t.Helper()
	return pages[event](t, tg, "/service/audit?key="+id)
}
