package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkLists: the pages of a list give every item once and in order, and invalid parameters are refused.
func checkLists(t *testing.T, tg *harness.Target) {
	user := tg.Register(t, harness.Account{Username: harness.FreshName()}).Username
	const total = 53 // more than the default page
	for i := range total {
		tg.Create(t, "/service/storyspaces/begin", fmt.Sprintf(`{"username":%q,"name":"number %d"}`, user, i))
	}
	path := "/service/storyspaces/?username=" + user
	for query, size := range map[string]int{
		"": 50, "&limit=": 50, "&cursor=": 50, "&limit=1": 1, "&limit=7": 7, "&limit=50": 50, "&limit=52": 52, "&limit=53": 53, "&limit=200": 53,
	} {
		pages, seen := 0, map[string]bool{}
		for next := path + query; next != ""; pages++ {
			a := tg.Do(t, harness.Call{Path: next, Token: tg.Secrets.Token()})
			a.Is(t, http.StatusOK, "")
			items := harness.ReadList(t, a)
			if len(items) == 0 || len(items) > size || pages > total {
				t.Fatalf("%s: page %d has %d items", a.Call, pages, len(items))
			}
			for _, item := range items {
				if seen[string(item)] {
					t.Errorf("%s: %s comes twice", a.Call, item)
				}
				seen[string(item)] = true
				if want := fmt.Sprintf(`"number %d"`, len(seen)-1); !strings.Contains(string(item), want) {
					t.Errorf("%s: %s at place %d", a.Call, item, len(seen)-1)
				}
			}
			next = tg.NextPage(t, a)
		}
		if want := (total + size - 1) / size; len(seen) != total || pages != want {
			t.Errorf("limit %q: %d items on %d pages, want %d on %d", query, len(seen), pages, total, want)
		}
	}

	for _, limit := range []string{"0", "-1", "201", "1.5", "1e1", "abc", "0x10", "99999999999999999999", "%00", "5%20", "١"} {
		tg.Do(t, harness.Call{Path: path + "&limit=" + limit, Token: tg.Secrets.Token()}).IsInvalid(t, "query limit")
	}
	first := tg.Do(t, harness.Call{Path: path + "&limit=1", Token: tg.Secrets.Token()})
	_, cursor, _ := strings.Cut(tg.NextPage(t, first), "cursor=")
	cursor, _, _ = strings.Cut(cursor, "&")
	for _, wrong := range []string{"x", "1", "-1", "%00", "'--", cursor + "x", cursor[1:], "AAAA", "e30", strings.Repeat("a", 3000)} {
		tg.Do(t, harness.Call{Path: path + "&cursor=" + wrong, Token: tg.Secrets.Token()}).IsInvalid(t, "query cursor")
	}
}
