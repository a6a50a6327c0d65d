package integration

import (
	"net/http"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkAccounts: the demo rows are there, and a registered account is found by name and id.
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

	// Only the required members: the service generates an id, and leaves out absent members.
	minimal := harness.Account{Username: harness.FreshName()}
	got := tg.Register(t, minimal)
	if got.ID == "" {
		t.Error("the service gave no id")
	}
	if minimal.ID = got.ID; got != minimal {
		t.Errorf("registered %+v, answered %+v", minimal, got)
	}
	// All members.
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
