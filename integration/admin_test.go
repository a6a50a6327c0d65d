package integration

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// keyObject is a key as the service answers it.
type keyObject struct {
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

// listedKey is a key in a list.
type listedKey struct {
	keyObject

	ExpiresSoon *bool `json:"expires_soon"`
	StillUsed   *bool `json:"still_used"`
}

// madeKey is the answer that has a secret.
type madeKey struct {
	Key      keyObject  `json:"key"`
	Secret   string     `json:"secret"`
	Replaces *keyObject `json:"replaces"`
}

// event is a row of the audit.
type event struct {
	Time      string `json:"time"`
	Actor     string `json:"actor"`
	Action    string `json:"action"`
	Target    string `json:"target"`
	RequestID string `json:"request_id"`
	Address   string `json:"address"`
	Count     int    `json:"count"`
}

// request are the members of a JSON body.
type request map[string]any

// json is the body's text.
func (r request) json() string { return claims(r).json() }

// enroll gives the target its first administrator, as an operator would, and keys of both kinds that may do everything.
func (tg *target) enroll(t *testing.T) {
	t.Helper()
	if tg.cli != nil {
		var made madeKey
		tg.latchkeyJSON(t, &made, "keys", "create", "--client", "operations", "--scope", "keys:admin", "--json")
		tg.admin = readKey(t, made.Secret, tg.secrets.audience)
		if tg.admin.env != "live" || made.Key.ID != tg.admin.id || made.Key.Client != "operations" {
			t.Errorf("keys create --json in production: %+v", made.Key)
		}
	}
	if !tg.administered() {
		t.Log("NOT TESTED: registered keys, LATCHKEY_ADMIN_KEY is not set")
		return
	}
	tg.every = map[string]clientKey{}
	for _, kind := range []string{kindEd25519, kindHS256} {
		body := request{"client": "suite", "kind": kind, "scopes": tg.everyScope(t)}
		a := tg.administer(t, http.MethodPost, "/service/keys", body.json())
		if a.status == http.StatusUnprocessableEntity && kind == kindHS256 && !tg.local() {
			t.Log("NOT TESTED: hs256 keys, the deployment has no MASTER_KEY")
			continue
		}
		tg.every[kind] = tg.made(t, a).key
	}
}

// administered says whether there is somebody who may administrate keys.
func (tg *target) administered() bool { return tg.admin.text != "" }

// needsAdmin ends a check that is about registered keys.
func (tg *target) needsAdmin(t *testing.T) {
	t.Helper()
	if !tg.administered() {
		t.Skip("NOT TESTED: LATCHKEY_ADMIN_KEY is not set")
	}
}

// kinds are the kinds of registered keys that the target has.
func (tg *target) kinds() []string {
	kinds := []string{}
	for kind := range tg.every {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// holders are keys, by name, that have the scope, and every other one that a key of their sort can have.
func (tg *target) holders(scope string) map[string]credential {
	holders := map[string]credential{}
	if scope != "keys:admin" {
		holders["shared"] = tg.secrets.shared()
	}
	for kind, key := range tg.every {
		holders[kind] = key.credential
	}
	return holders
}

// holder is one of holders, the shared key where it can be; false where there is none.
func (tg *target) holder(scope string) (credential, bool) {
	holders := tg.holders(scope)
	for _, name := range []string{"shared", kindEd25519} {
		if holder, ok := holders[name]; ok {
			return holder, true
		}
	}
	return credential{}, false
}

// administer sends a request as the administrator. An empty body is none.
func (tg *target) administer(t *testing.T, method, path, body string) answer {
	t.Helper()
	c := call{method: method, path: path, token: tg.admin.token()}
	if body != "" {
		c.body, c.header = body, map[string]string{"Content-Type": "application/json"}
	}
	return tg.do(t, c)
}

// issuedKey is a key that was made now: as its holder has it, and as the service answers it.
type issuedKey struct {
	key    clientKey
	object keyObject
	whole  madeKey
}

// made reads the answer to a request that made a key.
func (tg *target) made(t *testing.T, a answer) issuedKey {
	t.Helper()
	if a.status != http.StatusCreated {
		t.Fatalf("%s: %d %s, want 201", a.call, a.status, a.body)
	}
	a.isJSON(t)
	a.notStored(t)
	var whole madeKey
	a.decode(t, &whole)
	key := readKey(t, whole.Secret, tg.secrets.audience)
	if whole.Key.ID != key.id || whole.Key.Kind != key.kind || whole.Key.Hint == "" || !strings.HasSuffix(whole.Key.Hint, key.text[66:]) {
		t.Errorf("%s: the key of %+v is not that of its secret", a.call, whole.Key)
	}
	if location := strings.TrimPrefix(a.header.Get("Location"), tg.url); location != "/service/keys/"+key.id {
		t.Errorf("%s: Location %q, want that of %s", a.call, location, key.id)
	}
	return issuedKey{key, whole.Key, whole}
}

// issue makes a key by HTTP. What r does not say is a client of a fresh name and the scope accounts:read.
func (tg *target) issue(t *testing.T, r request) (clientKey, keyObject) {
	t.Helper()
	body := request{"client": freshName(), "scopes": []string{"accounts:read"}}
	maps.Copy(body, r)
	made := tg.made(t, tg.administer(t, http.MethodPost, "/service/keys", body.json()))
	return made.key, made.object
}

// change calls a verb of the life cycle and gives the key as it is then.
func (tg *target) change(t *testing.T, key clientKey, verb string) keyObject {
	t.Helper()
	a := tg.administer(t, http.MethodPost, "/service/keys/"+key.id+"/"+verb, "")
	a.is(t, http.StatusOK, "")
	var object keyObject
	a.decode(t, &object)
	return object
}

// passes demands that a key's tokens are accepted, and who they are of.
func (tg *target) passes(t *testing.T, key clientKey) {
	t.Helper()
	a := tg.do(t, call{path: "/service/whoami", token: key.token()})
	a.is(t, http.StatusOK, "")
	var who whoami
	a.decode(t, &who)
	if who.Key != key.id {
		t.Errorf("whoami with a token of %s: %s", key.id, a.body)
	}
}

// barred demands that a key's tokens are refused as those of a key that is not in force.
func (tg *target) barred(t *testing.T, token string) {
	t.Helper()
	tg.do(t, call{path: "/service/account/stevenm", token: token}).refused(t, http.StatusUnauthorized, "Incorrect API token",
		`Bearer realm="latchkey", error="invalid_token", error_description="Incorrect API token"`)
}

// retired are keys that were accepted once and are not any more, by what became of them. They are made once a target.
func (tg *target) retired(t *testing.T) map[string]clientKey {
	t.Helper()
	if tg.over != nil {
		return tg.over
	}
	tg.over = map[string]clientKey{}
	// Long enough to be used once on a slow machine.
	expires := time.Now().Add(2 * time.Second).Format(time.RFC3339Nano)
	for _, kind := range tg.kinds() {
		for state, body := range map[string]request{
			"expired": {"expires_at": expires}, "revoked": {}, "disabled": {}, "rotated without grace": {},
		} {
			body["kind"] = kind
			key, _ := tg.issue(t, body)
			tg.passes(t, key)
			tg.over[kind+" "+state] = key
		}
		tg.change(t, tg.over[kind+" revoked"], "revoke")
		tg.change(t, tg.over[kind+" disabled"], "disable")
		path := "/service/keys/" + tg.over[kind+" rotated without grace"].id + "/rotate"
		tg.administer(t, http.MethodPost, path, `{"grace":"0s"}`).is(t, http.StatusCreated, "")
	}
	for name, key := range tg.over {
		token := key.token()
		eventually(t, startLimit, "a key is "+name, func() bool {
			return tg.do(t, call{path: "/service/whoami", token: token}).status == http.StatusUnauthorized
		})
	}
	return tg.over
}

// expects demands that the token is accepted, or refused with this decoding text.
func (tg *target) expects(t *testing.T, token, text string) {
	t.Helper()
	a := tg.do(t, call{path: "/service/account/stevenm", token: token})
	if text == "" {
		a.is(t, http.StatusOK, "")
		return
	}
	a.is(t, http.StatusUnauthorized, `{"detail":"`+decodingError+text+`"}`)
}

// decodingError starts the text of a refusal of the token itself.
const decodingError = "Error decoding token: "

// everyKind runs a check for each kind of registered key.
func (tg *target) everyKind(t *testing.T, check func(t *testing.T, tg *target, kind string)) {
	t.Helper()
	tg.needsAdmin(t)
	for _, kind := range tg.kinds() {
		t.Run(kind, func(t *testing.T) { check(t, tg, kind) })
	}
}
