package integration

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkOpenRoutes: what needs no token answers without one, and with a bad one.
func checkOpenRoutes(t *testing.T, tg *harness.Target) {
	for _, token := range []string{"", garbage} {
		a := tg.Do(t, harness.Call{Path: "/", Token: token})
		a.Is(t, http.StatusOK, `{"msg":"Hello from our latchkey app."}`)
		a.IsJSON(t)
		for _, path := range []string{"/livez", "/readyz", "/docs", "/openapi.json"} {
			tg.Do(t, harness.Call{Path: path, Token: token}).Is(t, http.StatusOK, "")
		}
	}
}

// checkWhoami: a caller sees as whom it is known, until when, and what its token may do after narrowing.
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

// checkAccounts: the demo rows, and an account from registering to being found in each way there is.
func checkAccounts(t *testing.T, tg *harness.Target) {
	for path, want := range map[string]string{
		"/service/account/stevenm":          `{"id":"2112","username":"stevenm"}`,
		"/service/account/foobar":           `{"id":"2113","username":"foobar"}`,
		"/service/account/?account_id=2112": `{"id":"2112","username":"stevenm"}`,
		"/service/account/?account_id=2113": `{"id":"2113","username":"foobar"}`,
	} {
		a := tg.Do(t, harness.Call{Path: path, Token: tg.Secrets.Token()})
		a.Is(t, http.StatusOK, want)
		a.IsJSON(t)
	}

	// As little as possible: the service gives an id, and leaves out what was not said.
	minimal := harness.Account{Username: harness.FreshName()}
	got := tg.Register(t, minimal)
	if got.ID == "" {
		t.Error("the service gave no id")
	}
	if minimal.ID = got.ID; got != minimal {
		t.Errorf("registered %+v, answered %+v", minimal, got)
	}
	// As much as possible.
	full := harness.Account{
		ID: harness.FreshName(), Username: harness.FreshName(), Email: "kim@example.com", FirstName: "Kim", LastName: "O'Neil \u202e\U0001f511",
		AvatarURL: "https://example.com/kim.png",
	}
	if got := tg.Register(t, full); got != full {
		t.Errorf("registered %+v, answered %+v", full, got)
	}
	other := harness.FreshName()
	for name, body := range map[string]string{
		"username taken":     `{"username":"` + full.Username + `"}`,
		"id taken":           `{"username":"` + other + `","id":"` + full.ID + `"}`,
		"both taken":         `{"username":"` + full.Username + `","id":"` + full.ID + `"}`,
		"id of a demo row":   `{"username":"` + other + `","id":"2112"}`,
		"name of a demo row": `{"username":"stevenm"}`,
	} {
		c := harness.Post("/service/account/register", body)
		c.Token = tg.Secrets.Token()
		a := tg.Do(t, c)
		if a.IsError(t, http.StatusConflict); a.Status != http.StatusConflict {
			t.Errorf("the row is %q", name)
		}
	}
	tg.Do(t, harness.Call{Path: "/service/account/" + other, Token: tg.Secrets.Token()}).IsError(t, http.StatusNotFound)
}

// storyspace is a storyspace as the service answers it.
type storyspace struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// checkStoryspaces: the demo rows, and storyspaces from their beginning to the list of their user.
func checkStoryspaces(t *testing.T, tg *harness.Target) {
	for path, want := range map[string]string{
		"/service/storyspaces/?username=stevenm": `[{"id":"1","name":"barfood"},{"id":"2","name":"bazbars"}]`,
		"/service/storyspaces/?username=foobar":  `[{"id":"2113","name":"barfood"}]`,
		"/service/storyspaces/2113":              `{"id":"2113","name":"barfood"}`,
		"/service/storyspaces/?username=nobody":  `[]`,
	} {
		// Other checks begin no storyspace for the demo users but the documented example, so it is not among the first.
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
			t.Errorf("listed %+v, never begun", one)
		}
	}
	c := harness.Post("/service/storyspaces/begin", `{"username":"`+harness.FreshName()+`","name":"x"}`)
	c.Token = tg.Secrets.Token()
	tg.Do(t, c).IsError(t, http.StatusNotFound)
}
