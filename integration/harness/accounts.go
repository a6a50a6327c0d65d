package harness

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Whoami is the answer of /service/whoami.
type Whoami struct {
	Key       string   `json:"key"`
	Client    string   `json:"client"`
	Scopes    []string `json:"scopes"`
	ExpiresAt string   `json:"expires_at"`
}

// Account is an account as the service answers it.
type Account struct {
	ID        string `json:"id"`
	Username  string `json:"username"`
	Email     string `json:"email,omitempty"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	AvatarURL string `json:"avatar_url,omitempty"`
}

// Register registers an account, and checks that it is found by Location, id and name.
func (tg *Target) Register(t *testing.T, want Account) Account {
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
	created := tg.Create(t, "/service/account/register", string(body))
	var got Account
	created.Decode(t, &got)
	byID := tg.Do(t, Call{Path: "/service/account/?account_id=" + got.ID, Token: tg.Secrets.Token()})
	byID.Is(t, http.StatusOK, created.Body)
	byName := tg.Do(t, Call{Path: "/service/account/" + got.Username, Token: tg.Secrets.Token()})
	byName.Is(t, http.StatusOK, created.Body)
	return got
}

// Create posts body. It expects 201, and the same object at Location.
func (tg *Target) Create(t *testing.T, path, body string) Answer {
	t.Helper()
	c := Post(path, body)
	c.Token = tg.Secrets.Token()
	created := tg.Do(t, c)
	if created.Status != http.StatusCreated {
		t.Fatalf("%s %s: %d %s, want 201", created.Call, body, created.Status, created.Body)
	}
	created.IsJSON(t)
	location, found := strings.CutPrefix(created.Header.Get("Location"), tg.URL)
	if !found && !strings.HasPrefix(location, "/") {
		t.Fatalf("%s: Location %q", created.Call, location)
	}
	tg.Do(t, Call{Path: location, Token: tg.Secrets.Token()}).Is(t, http.StatusOK, strings.TrimSpace(created.Body))
	return created
}

// FreshName is a random name: no account and no client has it yet.
func FreshName() string { return "it-" + strings.ToLower(rand.Text()) }
