package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkAcceptance: each guarded operation, called as documented with a good token, succeeds with what is documented;
// also as the bare token that older clients send, and whatever the case of the scheme.
func checkAcceptance(t *testing.T, tg *target) {
	for _, op := range tg.openapi(t).guarded() {
		for _, scheme := range []string{"Bearer ", "", "bearer ", "BEARER "} {
			c := op.mustRequest(t)
			c.auth = []string{scheme + tg.secrets.token()}
			a := tg.do(t, c)
			if a.status/100 != 2 {
				t.Errorf("%s with %q: %d %s", op.name(), scheme, a.status, a.body)
				continue
			}
			a.isJSON(t)
			a.fitsDocumentation(t, op)
			notStored(t, a)
			if a.status == http.StatusCreated && a.header.Get("Location") == "" {
				t.Errorf("%s: 201 without Location", op.name())
			}
		}
		for name, token := range acceptedTokens(tg) {
			c := op.mustRequest(t)
			c.token = token
			if a := tg.do(t, c); a.status/100 != 2 {
				t.Errorf("%s, %s: %d %s", op.name(), name, a.status, a.body)
			}
		}
	}
}

// acceptedTokens are unusual, and right.
func acceptedTokens(tg *target) map[string]string {
	s, now := tg.secrets, time.Now().Unix()
	good := s.good()
	tokens := map[string]string{
		"aud in a list":           s.jwt(good.with("aud", []string{"other", s.audience})),
		"aud alone in a list":     s.jwt(good.with("aud", []string{s.audience})),
		"nbf instead of iat":      s.jwt(good.without("iat").with("nbf", now)),
		"unknown claims":          s.jwt(good.with("role", "admin").with("extra", map[string]any{"a": []int{1}})),
		"every registered claim":  s.jwt(good.with("iss", "me").with("sub", "you").with("jti", "1").with("nbf", now)),
		"a fraction of a second":  s.jwt(good.with("exp", float64(now)+60.5)),
		"names in capitals":       s.jwt(good.with("EXP", 1).with("Aud", "x").with("APIKEY", "x")),
		"header without typ":      signed(`{"alg":"HS256"}`, good.json(), s.secretKey),
		"white space in the JSON": signed("{ \"alg\" : \"HS256\" }\n", " "+good.json()+"\n", s.secretKey),
	}
	if tg.local() { // a deployment may allow less leeway than the default 30 s
		tokens["a clock 20 s ahead"] = s.jwt(good.with("iat", now+20))
		tokens["expired 20 s ago"] = s.jwt(good.with("iat", now-60).with("exp", now-20))
	}
	return tokens
}

// notStored demands the header that keeps answers of guarded routes out of caches.
func notStored(t *testing.T, a answer) {
	t.Helper()
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s: %d with Cache-Control %q, want no-store", a.call, a.status, got)
	}
}

// checkScopes: a token narrowed to the needed scope passes, one narrowed to all others is told which one it lacks.
func checkScopes(t *testing.T, tg *target) {
	for _, op := range tg.openapi(t).guarded() {
		c := op.mustRequest(t)
		c.token = tg.secrets.scoped("")
		a := tg.do(t, c)
		needed := neededScope(a)
		if want, ok := designed[op.name()]; ok && needed != want {
			t.Errorf("%s needs scope %q, want %q", op.name(), needed, want)
		}
		if needed == "" {
			if op.documents(http.StatusForbidden) || a.status/100 != 2 {
				t.Errorf("%s, no scope: %d %s, but 403 is documented or it failed", op.name(), a.status, a.body)
			}
			continue
		}
		if !slices.Contains(everyScope, needed) {
			t.Errorf("%s needs scope %q, which is none of the closed set", op.name(), needed)
		}
		others := slices.DeleteFunc(slices.Clone(everyScope), func(s string) bool { return s == needed })
		for _, scope := range []string{"", strings.Join(others, " "), "admin", "*", strings.ToUpper(needed), needed + "x"} {
			c := op.mustRequest(t)
			c.token = tg.secrets.scoped(scope)
			a := tg.do(t, c)
			a.refused(t, http.StatusForbidden, "insufficient scope",
				`Bearer realm="latchkey", error="insufficient_scope", scope="`+needed+`"`)
			a.fitsDocumentation(t, op)
			notStored(t, a)
		}
		for _, scope := range []string{needed, needed + " nobody:knows", strings.Join(everyScope, " ")} {
			c := op.mustRequest(t)
			c.token = tg.secrets.scoped(scope)
			if a := tg.do(t, c); a.status/100 != 2 {
				t.Errorf("%s with scope %q: %d %s", op.name(), scope, a.status, a.body)
			}
		}
	}
}

// neededScope is the scope that a 403 names, or "".
func neededScope(a answer) string {
	_, rest, _ := strings.Cut(a.header.Get("WWW-Authenticate"), `scope="`)
	scope, _, _ := strings.Cut(rest, `"`)
	return scope
}
