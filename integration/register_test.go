package integration

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// whoami is the answer of /service/whoami.
type whoami struct {
	Key       string   `json:"key"`
	Client    string   `json:"client"`
	Scopes    []string `json:"scopes"`
	ExpiresAt string   `json:"expires_at"`
}

// account is an account as the service answers it.
type account struct {
	ID        string `json:"id"`
	Username  string `json:"username"`
	Email     string `json:"email,omitempty"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	AvatarURL string `json:"avatar_url,omitempty"`
}

// register registers an account and follows its Location to the same account.
func (tg *target) register(t *testing.T, want account) account {
	t.Helper()
	members := map[string]string{}
	remarshal(t, want, &members)
	if want.ID == "" {
		delete(members, "id")
	}
	body, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	created := tg.create(t, "/service/account/register", string(body))
	var got account
	created.decode(t, &got)
	byID := tg.do(t, call{path: "/service/account/?account_id=" + got.ID, token: tg.secrets.token()})
	byID.is(t, http.StatusOK, created.body)
	byName := tg.do(t, call{path: "/service/account/" + got.Username, token: tg.secrets.token()})
	byName.is(t, http.StatusOK, created.body)
	return got
}

// create posts body, expects 201, and that Location leads to the same thing.
func (tg *target) create(t *testing.T, path, body string) answer {
	t.Helper()
	c := post(path, body)
	c.token = tg.secrets.token()
	created := tg.do(t, c)
	if created.status != http.StatusCreated {
		t.Fatalf("%s %s: %d %s, want 201", created.call, body, created.status, created.body)
	}
	created.isJSON(t)
	location, found := strings.CutPrefix(created.header.Get("Location"), tg.url)
	if !found && !strings.HasPrefix(location, "/") {
		t.Fatalf("%s: Location %q", created.call, location)
	}
	tg.do(t, call{path: location, token: tg.secrets.token()}).is(t, http.StatusOK, strings.TrimSpace(created.body))
	return created
}

// freshName is a username that no account has.
func freshName() string { return "it-" + strings.ToLower(rand.Text()) }
