package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// bodyPaths are the operations that take a body, each with a valid one. Its first member is a string; NAME becomes a new name.
var bodyPaths = map[string]string{
	"/service/account/register":  `{"username":"NAME"}`,
	"/service/storyspaces/begin": `{"username":"stevenm","name":"NAME"}`,
	"/service/keys":              `{"client":"NAME","scopes":["accounts:read"]}`,
}

// bodyMembers are the members of each body, as the refusal of an unknown member lists them.
var bodyMembers = map[string]string{
	"/service/account/register":  "username, id, email, first_name, last_name, avatar_url",
	"/service/storyspaces/begin": "username, name",
	"/service/keys":              "client, scopes, kind, rate, burst, expires_at",
}

// checkBodies: every operation that takes a body wants one strict JSON value, with Content-Type application/json.
func checkBodies(t *testing.T, tg *harness.Target) {
	for path, good := range bodyPaths {
		holder, ok := tg.CredentialFor(designed["POST "+path])
		if !ok {
			t.Logf("NOT TESTED: %s, there is no key for it", path)
			continue
		}
		fresh := func() string { return strings.ReplaceAll(good, "NAME", harness.FreshName()) }
		members := strings.TrimSuffix(good, "}")
		first, _, _ := strings.Cut(strings.TrimPrefix(good, `{"`), `"`)
		for _, contentType := range []string{
			"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
			"application/jsonx", "text/json", "json", "application/json-patch+json", "application/", ";", "*/*",
		} {
			c := harness.Post(path, fresh())
			c.Token = holder.Token()
			if c.Header["Content-Type"] = contentType; contentType == "" {
				delete(c.Header, "Content-Type")
			}
			if a := tg.Do(t, c); a.Status != http.StatusUnsupportedMediaType {
				t.Errorf("%s as %q: %d %s, want 415", a.Call, contentType, a.Status, a.Body)
			}
		}
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "APPLICATION/JSON"} {
			c := harness.Post(path, fresh())
			c.Token, c.Header["Content-Type"] = holder.Token(), contentType
			tg.Do(t, c).Is(t, http.StatusCreated, "")
		}
		for encoding, status := range map[string]int{
			"gzip": 415, "br": 415, "deflate": 415, "x": 415, "gzip, identity": 415, "identity, gzip": 415, ", x": 415,
			"identity": 201, "identity, IDENTITY,": 201, ",": 201,
		} {
			c := harness.Post(path, fresh())
			c.Token, c.Header["Content-Encoding"] = holder.Token(), encoding
			if a := tg.Do(t, c); a.Status != status {
				t.Errorf("%s with Content-Encoding %s: %d %s, want %d", path, encoding, a.Status, a.Body, status)
			}
		}
		for _, body := range []string{
			"", " ", "x", "{", "}", "[]", "null", "1", `"x"`, good + good, good + "x", good + " ]", "[" + good + "]", members,
			strings.ReplaceAll(good, `"`, `'`), "\xef\xbb\xbf" + good, "\x00" + good, good + "\x00", "\x1f\x8b\x08\x00", "%7B%7D",
			"username=x", strings.Repeat("[", 30000), strings.Repeat(`{"a":`, 8000), members + `,}`, "// comment\n" + good,
		} {
			checkBodyRefused(t, tg, holder, harness.Post(path, body), "")
		}
		unknown := `{"detail":[{"loc":["body"],"msg":"unknown field; there are: ` + bodyMembers[path] + `","type":"extra_forbidden"}]}`
		duplicate := `{"detail":[{"loc":["body"],"msg":"duplicate member","type":"json_invalid"}]}`
		for member, want := range map[string]string{
			`"unknown":1`:                          unknown,
			`"` + strings.ToUpper(first) + `":"x"`: unknown,
			`"` + first + ` ":"x"`:                 unknown,
			`"":1`:                                 unknown,
			`"__proto__":{}`:                       unknown,
			`"` + first + `":"again"`:              duplicate,
			fmt.Sprintf(`"\u%04x%s":"x"`, first[0], first[1:]): duplicate,
			`"x":{"a":1,"a":2}`:     "", // one of the two
			`"x":` + deep(500):      "",
			"\"x\":\"\xff\"":        "",
			`"x":"` + "\n" + `"`:    "",
			`"first_name":NaN`:      "",
			`"secret-marker-9x":[]`: unknown,
		} {
			checkBodyRefused(t, tg, holder, harness.Post(path, members+","+member+"}"), want)
		}
	}
}

// deep is JSON nested n times.
func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// checkBodyRefused sends c. It demands a 422 at "body" that repeats nothing of the body.
func checkBodyRefused(t *testing.T, tg *harness.Target, holder harness.Credential, c harness.Call, want string) {
	t.Helper()
	c.Token = holder.Token()
	path, body, a := c.Path, c.Body, tg.Do(t, c)
	if a.Status != http.StatusUnprocessableEntity {
		t.Errorf("%s %.80q: %d %s, want 422", path, body, a.Status, a.Body)
		return
	}
	if want != "" {
		a.Is(t, http.StatusUnprocessableEntity, want)
	}
	if strings.Contains(a.Body, "marker") {
		t.Errorf("%s %.80q: the answer repeats the body: %s", path, body, a.Body)
	}
	for _, f := range a.Fields(t) {
		if f.Loc[0] != "body" {
			t.Errorf("%s %.80q: 422 about %q", path, body, f.Loc)
		}
	}
}

// checkFields: each field takes its documented values, and a refusal names the field.
func checkFields(t *testing.T, tg *harness.Target) {
	const account, begin = "/service/account/register", "/service/storyspaces/begin"
	name := func(member, value string) string { return `{"` + member + `":` + value + `}` }
	tests := []struct{ path, body, loc string }{
		{account, `{}`, "body username"},
		{account, `{"id":"x"}`, "body username"},
		{begin, `{"name":"x"}`, "body username"},
		{begin, `{"username":"stevenm"}`, "body name"},
		{begin, `{"username":"stevenm","name":""}`, "body name"},
		{begin, `{"username":"stevenm","name":1}`, "body name"},
		{begin, `{"username":"stevenm","name":["x"]}`, "body name"},
		{begin, `{"username":"stevenm","name":"` + strings.Repeat("a", 121) + `"}`, "body name"},
		{begin, `{"username":"stevenm","name":"` + strings.Repeat("\U0001f511", 121) + `"}`, "body name"},
		{begin, `{"username":true,"name":"x"}`, "body username"},
		{begin, `{"username":"","name":"x"}`, "body username"},
	}
	for _, value := range []string{
		`""`, `" "`, `"."`, `".."`, `"register"`, `"a b"`, `"a/b"`, `"a%2Fb"`, `"a\\b"`, `"\u0000"`, `"a\u0000"`, `"ü"`, `"\u202e"`,
		`"\ud83d\udd11"`, `"a'b"`, `"a\"b"`, `"a;b"`, `"a\n"`, `"a@b"`, `"` + strings.Repeat("a", 65) + `"`, `1`, `true`, `{}`, `["a"]`,
	} {
		tests = append(tests, struct{ path, body, loc string }{account, name("username", value), "body username"})
	}
	for _, value := range []string{`"a b"`, `"a/b"`, `"\u0000"`, `"ü"`, `"` + strings.Repeat("a", 65) + `"`, `2112`, `{}`} {
		body := `{"username":"` + harness.FreshName() + `","id":` + value + `}`
		tests = append(tests, struct{ path, body, loc string }{account, body, "body id"})
	}
	for _, member := range []string{"email", "first_name", "last_name", "avatar_url"} {
		for _, value := range []string{`1`, `{}`, `[]`, `false`} {
			body := `{"username":"` + harness.FreshName() + `","` + member + `":` + value + `}`
			tests = append(tests, struct{ path, body, loc string }{account, body, "body " + member})
		}
	}
	for _, tt := range tests {
		c := harness.Post(tt.path, tt.body)
		c.Token = tg.Secrets.Token()
		a := tg.Do(t, c)
		before := t.Failed()
		if a.IsInvalid(t, tt.loc); !before && t.Failed() {
			t.Fatalf("the body is %.100s", tt.body)
		}
	}
	// Several problems are reported at once.
	c := harness.Post(begin, `{}`)
	c.Token = tg.Secrets.Token()
	if fields := tg.Do(t, c).Fields(t); len(fields) != 2 {
		t.Errorf("begin without username and name: %v, want both named", fields)
	}
	for _, id := range []string{strings.Repeat("a", 32) + harness.FreshName(), "A-Z_a.z0" + harness.FreshName()} {
		tg.Register(t, accountNamed(id[:min(len(id), 64)]))
	}
	for path, loc := range map[string]string{
		"/service/account/":              "query account_id",
		"/service/account/?account_id=":  "query account_id",
		"/service/account/?accountid=1":  "query account_id",
		"/service/account/?ACCOUNT_ID=1": "query account_id",
		"/service/storyspaces/":          "query username",
		"/service/storyspaces/?username": "query username",
	} {
		tg.Do(t, harness.Call{Path: path, Token: tg.Secrets.Token()}).IsInvalid(t, loc)
	}
}

func accountNamed(username string) harness.Account { return harness.Account{Username: username} }
