package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// checkKeyInput: what a request about keys may not say is refused, and named.
func checkKeyInput(t *testing.T, tg *target) {
	tg.needsAdmin(t)
	checkCreateInput(t, tg)
	key, _ := tg.issue(t, request{})
	path := "/service/keys/" + key.id
	for _, grace := range []any{"721h", "720h1s", "-1s", "1", "abc", "1 h", "1d", "9999999h", 5, true, []string{"1h"}, request{}} {
		tg.administer(t, http.MethodPost, path+"/rotate", request{"grace": grace}.json()).invalid(t, "body grace")
	}
	for _, verb := range []string{"rotate", "disable", "enable", "revoke"} {
		for contentType, status := range map[string]int{"text/plain": 415, "application/x-www-form-urlencoded": 415, "": 415, "application/json": 422} {
			c := call{method: http.MethodPost, path: path + "/" + verb, token: tg.admin.token(), body: `{"x":1}`, header: map[string]string{}}
			if contentType != "" {
				c.header["Content-Type"] = contentType
			}
			if a := tg.do(t, c); a.status != status {
				t.Errorf("%s with a body as %q: %d %s, want %d", a.call, contentType, a.status, a.body, status)
			}
		}
		for _, body := range []string{"[]", "null", "{", `{} {}`} {
			tg.administer(t, http.MethodPost, path+"/"+verb, body).invalid(t, "body")
		}
	}
	for _, wait := range []string{"yes", "1", "TRUE", "%00"} {
		tg.administer(t, http.MethodPost, path+"/revoke?wait="+wait, "").invalid(t, "query wait")
	}
	// None of that changed the key, and no body is as good as an empty one.
	tg.passes(t, key)
	for _, verb := range []string{"disable", "enable"} {
		tg.administer(t, http.MethodPost, path+"/"+verb, "{}").is(t, http.StatusOK, "")
	}
	// A client may announce a body that it does not send.
	for _, header := range []map[string]string{
		{"Content-Type": "application/json"}, {"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}, {},
	} {
		for _, verb := range []string{"disable", "enable", "rotate", "revoke"} {
			fresh, _ := tg.issue(t, request{})
			c := call{method: http.MethodPost, path: "/service/keys/" + fresh.id + "/" + verb, token: tg.admin.token(), header: header}
			if a := tg.do(t, c); a.status/100 != 2 {
				t.Errorf("%s without a body, as %v: %d %s", a.call, header, a.status, a.body)
			}
		}
	}
	checkUnknownKeys(t, tg)
	checkOutdatedKeys(t, tg)
}

// checkCreateInput: the members of a new key.
func checkCreateInput(t *testing.T, tg *target) {
	t.Helper()
	const past = "2001-01-01T00:00:00Z"
	tests := []struct {
		member string
		values []any // json.RawMessage for what encoding/json would not write
	}{
		{"client", []any{nil, "", strings.Repeat("c", 65), "a\x00b", "a\nb", 1, true, []string{"a"}, request{}}},
		{"scopes", []any{
			nil,
			[]string{},
			[]string{"accounts:delete"},
			[]string{"*"},
			[]string{"accounts:*"},
			[]string{""},
			[]string{"ACCOUNTS:READ"},
			[]string{"accounts:read", "admin"},
			[]string{"accounts:read accounts:write"},
			[]string{"accounts:read "},
		}},
		{"kind", []any{"rsa", "ED25519", "HS256", "EdDSA", "none", 1, []string{"hs256"}}},
		{"rate", []any{0, -1, -0.5, 1e9, 1e300, 1e-9, "5", true, json.RawMessage("1e400"), []int{1}}},
		{"burst", []any{0, -1, 1e12, 1.5, "5", json.RawMessage("1e3")}},
		{"expires_at", []any{
			past,
			time.Now().Format(time.RFC3339),
			"0001-01-01T00:00:00Z",
			"",
			"tomorrow",
			"2030-01-01",
			"2030-02-30T00:00:00Z",
			"10000-01-01T00:00:00Z",
			1900000000,
			true,
		}},
	}
	for _, tt := range tests {
		for _, value := range tt.values {
			body := request{"client": "acme", "scopes": []string{"accounts:read"}, tt.member: value}
			if tt.member == "burst" {
				body["rate"] = 5
			}
			before := t.Failed()
			tg.administer(t, http.MethodPost, "/service/keys", body.json()).invalid(t, "body "+tt.member)
			if !before && t.Failed() {
				t.Fatalf("the body is %.100s", body.json())
			}
		}
	}
	for _, body := range []request{
		{"client": "acme", "scopes": "accounts:read"},
		{"client": "acme", "scopes": []any{1}},
		{"client": "acme", "scopes": []any{[]string{"accounts:read"}}},
		{"client": "acme", "scopes": request{}},
	} {
		tg.administer(t, http.MethodPost, "/service/keys", body.json()).invalid(t, "body scopes")
	}
	tg.administer(t, http.MethodPost, "/service/keys", `{"client":"acme","scopes":["accounts:read"],"burst":5}`).invalid(t, "body burst")

	// Who asks for a scope that there is not is told which there are.
	a := tg.administer(t, http.MethodPost, "/service/keys", `{"client":"acme","scopes":["accounts:delete"]}`)
	for _, scope := range tg.everyScope(t) {
		if !strings.Contains(a.body, scope) {
			t.Errorf("%s: %s does not list %s", a.call, a.body, scope)
		}
	}
	if strings.Contains(a.body, "delete") {
		t.Errorf("%s repeats the request: %s", a.call, a.body)
	}
	a = tg.administer(t, http.MethodPost, "/service/keys", `{"scopes":["x"],"kind":"x","rate":-1,"expires_at":"`+past+`"}`)
	if a.is(t, http.StatusUnprocessableEntity, ""); len(a.fields(t)) != 5 {
		t.Errorf("five faults: %s", a.body)
	}
	for _, client := range []string{strings.Repeat("\U0001f511", 64), "Kim's <shop> & \"co\"", "x"} {
		if _, object := tg.issue(t, request{"client": client}); object.Client != client {
			t.Errorf("issued for %q: %q", client, object.Client)
		}
	}
}

// checkUnknownKeys: an id that no key has is 404, whatever is asked of it; a wrong body is told before.
func checkUnknownKeys(t *testing.T, tg *target) {
	t.Helper()
	for _, id := range []string{
		unknownID("E"), unknownID("H"), "x", "shared", "cli", strings.Repeat("k", 1000), "'%20OR%201=1--", "%25", "..", "%00", "%F0%9F%94%91",
		strings.ToLower(tg.admin.id), tg.admin.id + "x", tg.admin.id[:11], tg.admin.id + "%00", tg.admin.id + "%20",
	} {
		path := "/service/keys/" + id
		tg.administer(t, http.MethodGet, path, "").says(t, http.StatusNotFound)
		for _, verb := range []string{"rotate", "disable", "enable", "revoke", "revoke?wait=true"} {
			tg.administer(t, http.MethodPost, path+"/"+verb, "").says(t, http.StatusNotFound)
		}
	}
	tg.administer(t, http.MethodPost, "/service/keys/"+unknownID("E")+"/rotate", `{"grace":"x"}`).invalid(t, "body grace")
	tg.passes(t, tg.admin)
}

// checkOutdatedKeys: what is over has no successor and no way back.
func checkOutdatedKeys(t *testing.T, tg *target) {
	t.Helper()
	for name, key := range tg.retired(t) {
		status := http.StatusConflict
		if strings.HasSuffix(name, "disabled") {
			status = http.StatusCreated // and its successor is disabled, too
		}
		a := tg.administer(t, http.MethodPost, "/service/keys/"+key.id+"/rotate", "")
		if a.status != status {
			t.Errorf("rotating a key that is %s: %d %s, want %d", name, a.status, a.body, status)
		}
		if status == http.StatusCreated {
			tg.barred(t, tg.made(t, a).key.token())
		}
		tg.barred(t, key.token())
	}
}
