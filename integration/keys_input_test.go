package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkKeyInput: invalid requests about keys are refused, and the refusal names the member.
func checkKeyInput(t *testing.T, tg *harness.Target) {
	tg.NeedAdmin(t)
	checkCreateInput(t, tg)
	key, _ := tg.IssueKey(t, harness.Body{})
	path := "/service/keys/" + key.ID
	for _, grace := range []any{"721h", "720h1s", "-1s", "1", "abc", "1 h", "1d", "9999999h", 5, true, []string{"1h"}, harness.Body{}} {
		tg.AsAdmin(t, http.MethodPost, path+"/rotate", harness.Body{"grace": grace}.JSON()).IsInvalid(t, "body grace")
	}
	for _, verb := range []string{"rotate", "disable", "enable", "revoke"} {
		for contentType, status := range map[string]int{"text/plain": 415, "application/x-www-form-urlencoded": 415, "": 415, "application/json": 422} {
			c := harness.Call{Method: http.MethodPost, Path: path + "/" + verb, Token: tg.Admin.Token(), Body: `{"x":1}`, Header: map[string]string{}}
			if contentType != "" {
				c.Header["Content-Type"] = contentType
			}
			if a := tg.Do(t, c); a.Status != status {
				t.Errorf("%s with a body as %q: %d %s, want %d", a.Call, contentType, a.Status, a.Body, status)
			}
		}
		for _, body := range []string{"[]", "null", "{", `{} {}`} {
			tg.AsAdmin(t, http.MethodPost, path+"/"+verb, body).IsInvalid(t, "body")
		}
	}
	for _, wait := range []string{"yes", "1", "TRUE", "%00"} {
		tg.AsAdmin(t, http.MethodPost, path+"/revoke?wait="+wait, "").IsInvalid(t, "query wait")
	}
	// None of that changed the key. No body and an empty object mean the same.
	tg.ExpectAccepted(t, key)
	for _, verb := range []string{"disable", "enable"} {
		tg.AsAdmin(t, http.MethodPost, path+"/"+verb, "{}").Is(t, http.StatusOK, "")
	}
	// A client may announce a body and send none.
	for _, header := range []map[string]string{
		{"Content-Type": "application/json"}, {"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}, {},
	} {
		for _, verb := range []string{"disable", "enable", "rotate", "revoke"} {
			fresh, _ := tg.IssueKey(t, harness.Body{})
			c := harness.Call{Method: http.MethodPost, Path: "/service/keys/" + fresh.ID + "/" + verb, Token: tg.Admin.Token(), Header: header}
			if a := tg.Do(t, c); a.Status/100 != 2 {
				t.Errorf("%s without a body, as %v: %d %s", a.Call, header, a.Status, a.Body)
			}
		}
	}
	checkUnknownKeys(t, tg)
	checkOutdatedKeys(t, tg)
}

// checkCreateInput: each member of a new key.
func checkCreateInput(t *testing.T, tg *harness.Target) {
	t.Helper()
	const past = "2001-01-01T00:00:00Z"
	tests := []struct {
		member string
		values []any // json.RawMessage for what encoding/json would not write
	}{
		{"client", []any{nil, "", strings.Repeat("c", 65), "a\x00b", "a\nb", 1, true, []string{"a"}, harness.Body{}}},
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
			body := harness.Body{"client": "acme", "scopes": []string{"accounts:read"}, tt.member: value}
			if tt.member == "burst" {
				body["rate"] = 5
			}
			before := t.Failed()
			tg.AsAdmin(t, http.MethodPost, "/service/keys", body.JSON()).IsInvalid(t, "body "+tt.member)
			if !before && t.Failed() {
				t.Fatalf("the body is %.100s", body.JSON())
			}
		}
	}
	for _, body := range []harness.Body{
		{"client": "acme", "scopes": "accounts:read"},
		{"client": "acme", "scopes": []any{1}},
		{"client": "acme", "scopes": []any{[]string{"accounts:read"}}},
		{"client": "acme", "scopes": harness.Body{}},
	} {
		tg.AsAdmin(t, http.MethodPost, "/service/keys", body.JSON()).IsInvalid(t, "body scopes")
	}
	tg.AsAdmin(t, http.MethodPost, "/service/keys", `{"client":"acme","scopes":["accounts:read"],"burst":5}`).IsInvalid(t, "body burst")

	// The refusal of an unknown scope lists the known ones.
	a := tg.AsAdmin(t, http.MethodPost, "/service/keys", `{"client":"acme","scopes":["accounts:delete"]}`)
	for _, scope := range tg.EveryScope(t) {
		if !strings.Contains(a.Body, scope) {
			t.Errorf("%s: %s does not list %s", a.Call, a.Body, scope)
		}
	}
	if strings.Contains(a.Body, "delete") {
		t.Errorf("%s repeats the request: %s", a.Call, a.Body)
	}
	a = tg.AsAdmin(t, http.MethodPost, "/service/keys", `{"scopes":["x"],"kind":"x","rate":-1,"expires_at":"`+past+`"}`)
	if a.Is(t, http.StatusUnprocessableEntity, ""); len(a.Fields(t)) != 5 {
		t.Errorf("five problems: %s", a.Body)
	}
	for _, client := range []string{strings.Repeat("\U0001f511", 64), "Kim's <shop> & \"co\"", "x"} {
		if _, object := tg.IssueKey(t, harness.Body{"client": client}); object.Client != client {
			t.Errorf("issued for %q: %q", client, object.Client)
		}
	}
}

// checkUnknownKeys: an unknown id is 404 for every operation; an invalid body is refused first.
func checkUnknownKeys(t *testing.T, tg *harness.Target) {
	t.Helper()
	for _, id := range []string{
		harness.UnknownKeyID("E"), harness.UnknownKeyID("H"), "x", "shared", "cli", strings.Repeat("k", 1000), "'%20OR%201=1--", "%25", "..", "%00", "%F0%9F%94%91",
		strings.ToLower(tg.Admin.ID), tg.Admin.ID + "x", tg.Admin.ID[:11], tg.Admin.ID + "%00", tg.Admin.ID + "%20",
	} {
		path := "/service/keys/" + id
		tg.AsAdmin(t, http.MethodGet, path, "").IsError(t, http.StatusNotFound)
		for _, verb := range []string{"rotate", "disable", "enable", "revoke", "revoke?wait=true"} {
			tg.AsAdmin(t, http.MethodPost, path+"/"+verb, "").IsError(t, http.StatusNotFound)
		}
	}
	tg.AsAdmin(t, http.MethodPost, "/service/keys/"+harness.UnknownKeyID("E")+"/rotate", `{"grace":"x"}`).IsInvalid(t, "body grace")
	tg.ExpectAccepted(t, tg.Admin)
}

// checkOutdatedKeys: a key that is no longer valid cannot be rotated, except a disabled one.
func checkOutdatedKeys(t *testing.T, tg *harness.Target) {
	t.Helper()
	for name, key := range tg.RetiredKeys(t) {
		status := http.StatusConflict
		if strings.HasSuffix(name, "disabled") {
			status = http.StatusCreated // its successor is disabled, too
		}
		a := tg.AsAdmin(t, http.MethodPost, "/service/keys/"+key.ID+"/rotate", "")
		if a.Status != status {
			t.Errorf("rotating a key that is %s: %d %s, want %d", name, a.Status, a.Body, status)
		}
		if status == http.StatusCreated {
			tg.ExpectRefused(t, tg.ReadCreated(t, a).Key.Token())
		}
		tg.ExpectRefused(t, key.Token())
	}
}
