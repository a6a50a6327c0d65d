package harness

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// KeyObject is a key as the service answers it.
type KeyObject struct {
	ID          string   `json:"id"`
	Client      string   `json:"client"`
	Kind        string   `json:"kind"`
	Scopes      []string `json:"scopes"`
	Rate        float64  `json:"rate"`
	Burst       int      `json:"burst"`
	CreatedAt   string   `json:"created_at"`
	ExpiresAt   string   `json:"expires_at"`
	State       string   `json:"state"`
	RotatedTo   string   `json:"rotated_to"`
	RotatedFrom string   `json:"rotated_from"`
	LastUsedAt  string   `json:"last_used_at"`
	Hint        string   `json:"hint"`
}

// ListedKey is a key in a list.
type ListedKey struct {
	KeyObject

	ExpiresSoon *bool `json:"expires_soon"`
	StillUsed   *bool `json:"still_used"`
}

// CreatedKey is the answer that has a secret.
type CreatedKey struct {
	Key      KeyObject  `json:"key"`
	Secret   string     `json:"secret"`
	Replaces *KeyObject `json:"replaces"`
}

// AuditEvent is a row of the audit.
type AuditEvent struct {
	Time      string `json:"time"`
	Actor     string `json:"actor"`
	Action    string `json:"action"`
	Target    string `json:"target"`
	RequestID string `json:"request_id"`
	Address   string `json:"address"`
	Count     int    `json:"count"`
}

// Body are the members of a JSON body.
type Body map[string]any

// JSON is the body's text.
func (r Body) JSON() string { return Claims(r).JSON() }

// Enroll creates the first administrator on the command line, and through it a key of each kind with every scope.
func (tg *Target) Enroll(t *testing.T) {
	t.Helper()
	if tg.CLI != nil {
		var made CreatedKey
		tg.MustRunJSON(t, &made, "keys", "create", "--client", "operations", "--scope", "keys:admin", "--json")
		tg.Admin = ParseKey(t, made.Secret, tg.Secrets.Audience)
		if tg.Admin.Env != "live" || made.Key.ID != tg.Admin.ID || made.Key.Client != "operations" {
			t.Errorf("keys create --json in production: %+v", made.Key)
		}
	}
	if !tg.HasAdmin() {
		t.Log("NOT TESTED: registered keys, LATCHKEY_ADMIN_KEY is not set")
		return
	}
	tg.FullKeys = map[string]Key{}
	for _, kind := range []string{KindEd25519, KindHS256} {
		body := Body{"client": "suite", "kind": kind, "scopes": tg.EveryScope(t)}
		a := tg.AsAdmin(t, http.MethodPost, "/service/keys", body.JSON())
		if a.Status == http.StatusUnprocessableEntity && kind == KindHS256 && !tg.IsLocal() {
			t.Log("NOT TESTED: hs256 keys, the deployment has no MASTER_KEY")
			continue
		}
		tg.FullKeys[kind] = tg.ReadCreated(t, a).Key
	}
}

// HasAdmin reports whether the target has an administrator's key.
func (tg *Target) HasAdmin() bool { return tg.Admin.Text != "" }

// NeedAdmin skips a check of registered keys where no administrator can create any.
func (tg *Target) NeedAdmin(t *testing.T) {
	t.Helper()
	if !tg.HasAdmin() {
		t.Skip("NOT TESTED: LATCHKEY_ADMIN_KEY is not set")
	}
}

// Kinds are the kinds of registered keys that the target has.
func (tg *Target) Kinds() []string {
	kinds := []string{}
	for kind := range tg.FullKeys {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// CredentialsFor are all keys that have the scope, by kind. Each has every other scope that its kind may have.
func (tg *Target) CredentialsFor(scope string) map[string]Credential {
	holders := map[string]Credential{}
	if scope != "keys:admin" {
		holders["shared"] = tg.Secrets.Shared()
	}
	for kind, key := range tg.FullKeys {
		holders[kind] = key.Credential
	}
	return holders
}

// CredentialFor is one of CredentialsFor, preferably the shared key; false where there is none.
func (tg *Target) CredentialFor(scope string) (Credential, bool) {
	holders := tg.CredentialsFor(scope)
	for _, name := range []string{"shared", KindEd25519} {
		if holder, ok := holders[name]; ok {
			return holder, true
		}
	}
	return Credential{}, false
}

// AsAdmin sends a request with the administrator's key. An empty body means no body.
func (tg *Target) AsAdmin(t *testing.T, method, path, body string) Answer {
	t.Helper()
	c := Call{Method: method, Path: path, Token: tg.Admin.Token()}
	if body != "" {
		c.Body, c.Header = body, map[string]string{"Content-Type": "application/json"}
	}
	return tg.Do(t, c)
}

// IssuedKey is a new key: as its holder has it, and as the service answers it.
type IssuedKey struct {
	Key     Key
	Object  KeyObject
	Created CreatedKey
}

// ReadCreated reads and checks the answer to a request that created a key.
func (tg *Target) ReadCreated(t *testing.T, a Answer) IssuedKey {
	t.Helper()
	if a.Status != http.StatusCreated {
		t.Fatalf("%s: %d %s, want 201", a.Call, a.Status, a.Body)
	}
	a.IsJSON(t)
	a.IsNotStored(t)
	var whole CreatedKey
	a.Decode(t, &whole)
	key := ParseKey(t, whole.Secret, tg.Secrets.Audience)
	if whole.Key.ID != key.ID || whole.Key.Kind != key.Kind || whole.Key.Hint == "" || !strings.HasSuffix(whole.Key.Hint, key.Text[66:]) {
		t.Errorf("%s: the object and the secret name different keys: %+v", a.Call, whole.Key)
	}
	if location := strings.TrimPrefix(a.Header.Get("Location"), tg.URL); location != "/service/keys/"+key.ID {
		t.Errorf("%s: Location %q, want the path of %s", a.Call, location, key.ID)
	}
	return IssuedKey{key, whole.Key, whole}
}

// IssueKey creates a key over HTTP. The default is a new client and the scope accounts:read.
func (tg *Target) IssueKey(t *testing.T, r Body) (Key, KeyObject) {
	t.Helper()
	body := Body{"client": FreshName(), "scopes": []string{"accounts:read"}}
	maps.Copy(body, r)
	made := tg.ReadCreated(t, tg.AsAdmin(t, http.MethodPost, "/service/keys", body.JSON()))
	return made.Key, made.Object
}

// ChangeKey disables, enables or revokes a key, and gives its new state.
func (tg *Target) ChangeKey(t *testing.T, key Key, verb string) KeyObject {
	t.Helper()
	a := tg.AsAdmin(t, http.MethodPost, "/service/keys/"+key.ID+"/"+verb, "")
	a.Is(t, http.StatusOK, "")
	var object KeyObject
	a.Decode(t, &object)
	return object
}

// ExpectAccepted demands that whoami accepts the key's tokens and names the key.
func (tg *Target) ExpectAccepted(t *testing.T, key Key) {
	t.Helper()
	a := tg.Do(t, Call{Path: "/service/whoami", Token: key.Token()})
	a.Is(t, http.StatusOK, "")
	var who Whoami
	a.Decode(t, &who)
	if who.Key != key.ID {
		t.Errorf("whoami with a token of %s: %s", key.ID, a.Body)
	}
}

// ExpectRefused demands the refusal that a token of a revoked, disabled or expired key gets.
func (tg *Target) ExpectRefused(t *testing.T, token string) {
	t.Helper()
	tg.Do(t, Call{Path: "/service/account/stevenm", Token: token}).IsRefused(t, http.StatusUnauthorized, "Incorrect API token",
		`Bearer realm="latchkey", error="invalid_token", error_description="Incorrect API token"`)
}

// RetiredKeys are keys that are no longer valid, by kind and reason. They are created once for each target.
func (tg *Target) RetiredKeys(t *testing.T) map[string]Key {
	t.Helper()
	if tg.retiredKeys != nil {
		return tg.retiredKeys
	}
	tg.retiredKeys = map[string]Key{}
	// Long enough to be used once on a slow machine.
	expires := time.Now().Add(2 * time.Second).Format(time.RFC3339Nano)
	for _, kind := range tg.Kinds() {
		for state, body := range map[string]Body{
			"expired": {"expires_at": expires}, "revoked": {}, "disabled": {}, "rotated without grace": {},
		} {
			body["kind"] = kind
			key, _ := tg.IssueKey(t, body)
			tg.ExpectAccepted(t, key)
			tg.retiredKeys[kind+" "+state] = key
		}
		tg.ChangeKey(t, tg.retiredKeys[kind+" revoked"], "revoke")
		tg.ChangeKey(t, tg.retiredKeys[kind+" disabled"], "disable")
		path := "/service/keys/" + tg.retiredKeys[kind+" rotated without grace"].ID + "/rotate"
		tg.AsAdmin(t, http.MethodPost, path, `{"grace":"0s"}`).Is(t, http.StatusCreated, "")
	}
	for name, key := range tg.retiredKeys {
		token := key.Token()
		Eventually(t, StartTimeout, "a key is "+name, func() bool {
			return tg.Do(t, Call{Path: "/service/whoami", Token: token}).Status == http.StatusUnauthorized
		})
	}
	return tg.retiredKeys
}

// ExpectToken demands that the token is accepted (text is ""), or refused with this text after DecodingError.
func (tg *Target) ExpectToken(t *testing.T, token, text string) {
	t.Helper()
	a := tg.Do(t, Call{Path: "/service/account/stevenm", Token: token})
	if text == "" {
		a.Is(t, http.StatusOK, "")
		return
	}
	a.Is(t, http.StatusUnauthorized, `{"detail":"`+DecodingError+text+`"}`)
}

// DecodingError begins the text of a refused token.
const DecodingError = "Error decoding token: "

// EveryKind runs a check for each kind of registered key.
func (tg *Target) EveryKind(t *testing.T, check func(t *testing.T, tg *Target, kind string)) {
	t.Helper()
	tg.NeedAdmin(t)
	for _, kind := range tg.Kinds() {
		t.Run(kind, func(t *testing.T) { check(t, tg, kind) })
	}
}
