package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// storyspace is a storyspace as the service answers it.
type storyspace struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// checkStoryspaces: the demo rows are there, and new storyspaces are in the list of their user.
func checkStoryspaces(t *testing.T, tg *harness.Target) {
	for path, want := range map[string]string{
		"/service/storyspaces/?username=stevenm": `[{"id":"1","name":"barfood"},{"id":"2","name":"bazbars"}]`,
		"/service/storyspaces/?username=foobar":  `[{"id":"2113","name":"barfood"}]`,
		"/service/storyspaces/2113":              `{"id":"2113","name":"barfood"}`,
		"/service/storyspaces/?username=nobody":  `[]`,
	} {
		// Other checks may append storyspaces to the demo users' lists: the documented example.
		a := tg.Do(t, harness.Call{Path: path, Token: tg.Secrets.Token()})
		a.Is(t, http.StatusOK, "")
		if strings.HasPrefix(want, "[{") {
			want = strings.TrimSuffix(want, "]")
		}
		if !strings.HasPrefix(a.Body, want) {
			t.Errorf("%s: %s, want %s", a.Call, a.Body, want)
		}
	}

	user := tg.Register(t, harness.Account{Username: harness.FreshName()}).Username
	list := harness.Call{Path: "/service/storyspaces/?username=" + user, Token: tg.Secrets.Token()}
	tg.Do(t, list).Is(t, http.StatusOK, "[]")
	begun := map[storyspace]bool{}
	for _, name := range []string{
		"x", "a name with spaces", `"quotes" and \ backslash`, "'; DROP TABLE storyspaces; --", "../../etc", "%2F%00",
		"\u202eright to left", strings.Repeat("\U0001f511", 120), "<script>alert(1)</script>", "x",
	} {
		body, err := json.Marshal(map[string]string{"username": user, "name": name})
		if err != nil {
			t.Fatal(err)
		}
		var got storyspace
		tg.Create(t, "/service/storyspaces/begin", string(body)).Decode(t, &got)
		if got.Name != name || got.ID == "" || begun[got] {
			t.Errorf("began %q, answered %+v", name, got)
		}
		begun[got] = true
	}
	var all []storyspace
	tg.Do(t, list).Decode(t, &all)
	if len(all) != len(begun) {
		t.Errorf("%d begun, %d listed", len(begun), len(all))
	}
	for _, one := range all {
		if !begun[one] {
			t.Errorf("listed %+v, but never created", one)
		}
	}
	c := harness.Post("/service/storyspaces/begin", `{"username":"`+harness.FreshName()+`","name":"x"}`)
	c.Token = tg.Secrets.Token()
	tg.Do(t, c).IsError(t, http.StatusNotFound)
}
