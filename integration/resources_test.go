package integration

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkOpenRoutes: what needs no token answers without one, and with a bad one.
func checkOpenRoutes(t *testing.T, tg *target) {
	for _, token := range []string{"", garbage} {
		a := tg.do(t, call{path: "/", token: token})
		a.is(t, http.StatusOK, `{"msg":"Hello from our latchkey app."}`)
		a.isJSON(t)
		for _, path := range []string{"/livez", "/readyz", "/docs", "/openapi.json"} {
			tg.do(t, call{path: path, token: token}).is(t, http.StatusOK, "")
		}
	}
}

// checkWhoami: a caller sees as whom it is known, until when, and what its token may do after narrowing.
func checkWhoami(t *testing.T, tg *target) {
	every := tg.everyScope(t)
	all := slices.DeleteFunc(slices.Clone(every), func(scope string) bool { return scope == "keys:admin" })
	good := tg.secrets.good()
	expires := time.Unix(good["exp"].(int64), 0).UTC().Format("2006-01-02T15:04:05Z")
	tests := []struct {
		name   string
		c      claims
		scopes []string
	}{
		{"no scope claim", good, all},
		{"one scope", good.with("scope", "accounts:read"), []string{"accounts:read"}},
		{"sorted, and only what the key has", good.with("scope", "storyspaces:read keys:admin accounts:read"), []string{"accounts:read", "storyspaces:read"}},
		{"a name nobody knows", good.with("scope", "accounts:delete"), nil},
		{"one twice", good.with("scope", "accounts:read accounts:read"), []string{"accounts:read"}},
		{"empty", good.with("scope", ""), nil},
		{"all", good.with("scope", strings.Join(every, " ")), all},
	}
	for _, tt := range tests {
		a := tg.do(t, call{path: "/service/whoami", token: tg.secrets.jwt(tt.c)})
		a.is(t, http.StatusOK, "")
		var got whoami
		a.decode(t, &got)
		if got.Key != "shared" || got.Client != "shared" || got.ExpiresAt != expires {
			t.Errorf("%s: %s, want key and client shared, expires_at %s", tt.name, a.body, expires)
		}
		if !slices.Equal(got.Scopes, tt.scopes) || got.Scopes == nil {
			t.Errorf("%s: scopes %s, want %q", tt.name, a.body, tt.scopes)
		}
	}
}

// checkAccounts: the demo rows, and an account from registering to being found in each way there is.
func checkAccounts(t *testing.T, tg *target) {
	for path, want := range map[string]string{
		"/service/account/stevenm":          `{"id":"2112","username":"stevenm"}`,
		"/service/account/foobar":           `{"id":"2113","username":"foobar"}`,
		"/service/account/?account_id=2112": `{"id":"2112","username":"stevenm"}`,
		"/service/account/?account_id=2113": `{"id":"2113","username":"foobar"}`,
	} {
		a := tg.do(t, call{path: path, token: tg.secrets.token()})
		a.is(t, http.StatusOK, want)
		a.isJSON(t)
	}

	// As little as possible: the service gives an id, and leaves out what was not said.
	minimal := account{Username: freshName()}
	got := tg.register(t, minimal)
	if got.ID == "" {
		t.Error("the service gave no id")
	}
	if minimal.ID = got.ID; got != minimal {
		t.Errorf("registered %+v, answered %+v", minimal, got)
	}
	// As much as possible.
	full := account{
		ID: freshName(), Username: freshName(), Email: "kim@example.com", FirstName: "Kim", LastName: "O'Neil \u202e\U0001f511",
		AvatarURL: "https://example.com/kim.png",
	}
	if got := tg.register(t, full); got != full {
		t.Errorf("registered %+v, answered %+v", full, got)
	}
	other := freshName()
	for name, body := range map[string]string{
		"username taken":     `{"username":"` + full.Username + `"}`,
		"id taken":           `{"username":"` + other + `","id":"` + full.ID + `"}`,
		"both taken":         `{"username":"` + full.Username + `","id":"` + full.ID + `"}`,
		"id of a demo row":   `{"username":"` + other + `","id":"2112"}`,
		"name of a demo row": `{"username":"stevenm"}`,
	} {
		c := post("/service/account/register", body)
		c.token = tg.secrets.token()
		a := tg.do(t, c)
		if a.says(t, http.StatusConflict); a.status != http.StatusConflict {
			t.Errorf("the row is %q", name)
		}
	}
	tg.do(t, call{path: "/service/account/" + other, token: tg.secrets.token()}).says(t, http.StatusNotFound)
}

// storyspace is a storyspace as the service answers it.
type storyspace struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// checkStoryspaces: the demo rows, and storyspaces from their beginning to the list of their user.
func checkStoryspaces(t *testing.T, tg *target) {
	for path, want := range map[string]string{
		"/service/storyspaces/?username=stevenm": `[{"id":"1","name":"barfood"},{"id":"2","name":"bazbars"}]`,
		"/service/storyspaces/?username=foobar":  `[{"id":"2113","name":"barfood"}]`,
		"/service/storyspaces/2113":              `{"id":"2113","name":"barfood"}`,
		"/service/storyspaces/?username=nobody":  `[]`,
	} {
		// Other checks begin no storyspace for the demo users but the documented example, so it is not among the first.
		a := tg.do(t, call{path: path, token: tg.secrets.token()})
		a.is(t, http.StatusOK, "")
		if strings.HasPrefix(want, "[{") {
			want = strings.TrimSuffix(want, "]")
		}
		if !strings.HasPrefix(a.body, want) {
			t.Errorf("%s: %s, want %s", a.call, a.body, want)
		}
	}

	user := tg.register(t, account{Username: freshName()}).Username
	list := call{path: "/service/storyspaces/?username=" + user, token: tg.secrets.token()}
	tg.do(t, list).is(t, http.StatusOK, "[]")
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
		tg.create(t, "/service/storyspaces/begin", string(body)).decode(t, &got)
		if got.Name != name || got.ID == "" || begun[got] {
			t.Errorf("began %q, answered %+v", name, got)
		}
		begun[got] = true
	}
	var all []storyspace
	tg.do(t, list).decode(t, &all)
	if len(all) != len(begun) {
		t.Errorf("%d begun, %d listed", len(begun), len(all))
	}
	for _, one := range all {
		if !begun[one] {
			t.Errorf("listed %+v, never begun", one)
		}
	}
	c := post("/service/storyspaces/begin", `{"username":"`+freshName()+`","name":"x"}`)
	c.token = tg.secrets.token()
	tg.do(t, c).says(t, http.StatusNotFound)
}
