package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// checkOrder: of several things wrong with one request, the one that comes first is told, for each guarded operation.
func checkOrder(t *testing.T, tg *target) {
	doc := tg.openapi(t)
	for _, op := range doc.guarded() {
		forged := signed(headerHS256, tg.secrets.good().json(), "another secret")
		// Nothing about the request is right but its path.
		broken := op.mustRequest(t)
		broken.path, _, _ = strings.Cut(broken.path, "?")
		if op.RequestBody != nil {
			broken.header["Content-Type"], broken.body = "text/plain", `{"unknown":`
		}

		wrongMethod := broken
		wrongMethod.method, wrongMethod.token = "BREW", forged
		a := tg.do(t, wrongMethod)
		a.refused(t, http.StatusMethodNotAllowed, "Method Not Allowed", "")

		anonymous := broken
		a = tg.do(t, anonymous)
		a.refused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)

		forgery := broken
		forgery.token = forged
		if a = tg.do(t, forgery); a.status != http.StatusUnauthorized {
			t.Errorf("%s, forged: %d %s, want 401", op.name(), a.status, a.body)
		}

		narrow := broken
		narrow.token = tg.secrets.scoped("")
		a = tg.do(t, narrow)
		if designed[op.name()] != "" && a.status != http.StatusForbidden {
			t.Errorf("%s without scope: %d %s, want 403", op.name(), a.status, a.body)
		}
		if holder, ok := tg.holder(a.neededScope()); ok && op.RequestBody != nil {
			broken.token = holder.token()
			checkBodyOrder(t, tg, op, broken)
		}
	}
	checkResourceOrder(t, tg)
}

// checkBodyOrder: past the guard, the media type comes before what the body says.
func checkBodyOrder(t *testing.T, tg *target, op operation, broken call) {
	t.Helper()
	a := tg.do(t, broken)
	a.says(t, http.StatusUnsupportedMediaType)
	a.fitsDocumentation(t, op)

	broken.header["Content-Type"] = "application/json"
	a = tg.do(t, broken)
	a.is(t, http.StatusUnprocessableEntity, "")
	a.fitsDocumentation(t, op)
}

// checkResourceOrder: what a request says is judged before what the store holds.
func checkResourceOrder(t *testing.T, tg *target) {
	t.Helper()
	tests := []struct {
		name   string
		c      call
		status int
	}{
		{"a taken name, and a field nobody knows", post("/service/account/register", `{"username":"stevenm","x":1}`), 422},
		{"a taken name", post("/service/account/register", `{"username":"stevenm"}`), 409},
		{"no such user, and no name", post("/service/storyspaces/begin", `{"username":"nobody-here"}`), 422},
		{"no such user, and an empty name", post("/service/storyspaces/begin", `{"username":"nobody-here","name":""}`), 422},
		{"no such user", post("/service/storyspaces/begin", `{"username":"nobody-here","name":"x"}`), 404},
		{"no such id, and none given", call{path: "/service/account/?account_id="}, 422},
		{"no such id", call{path: "/service/account/?account_id=nobody-here"}, 404},
	}
	for _, tt := range tests {
		anonymous := tg.do(t, tt.c)
		anonymous.refused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)
		tt.c.token = tg.secrets.scoped("keys:admin")
		if a := tg.do(t, tt.c); a.status != http.StatusForbidden {
			t.Errorf("%s, without scope: %d %s, want 403", tt.name, a.status, a.body)
		}
		tt.c.token = tg.secrets.token()
		if a := tg.do(t, tt.c); a.status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, a.status, a.body, tt.status)
		}
	}
}

// checkGuardOrder: a token that fails several checks is told the first of them. Each row is wrong in the way its text
// says and in the way of the row after it, so that the rows together fix the whole order.
func checkGuardOrder(t *testing.T, tg *target) {
	for name, holder := range tg.holders("accounts:read") {
		t.Run(name, func(t *testing.T) { checkGuardOrderOf(t, tg, holder) })
	}
}

func checkGuardOrderOf(t *testing.T, tg *target, s credential) {
	t.Helper()
	now := time.Now().Unix()
	good := s.good()
	unsigned := strings.Replace(s.header, algorithm.FindString(s.header), `"alg":"none"`, 1)
	ahead := good.with("nbf", now+120)
	rows := []refusal{
		{"too long, malformed", strings.Repeat("~", 4000), decodingError + "token too long"},
		{"malformed claims, alg none", s.sign(unsigned, `{"exp":"soon"}`), decodingError + "malformed token"},
		{"malformed claims, forged", signed(s.header, `{"exp":"soon"}`, "x"), decodingError + "malformed token"},
		{"alg none, forged", signed(unsigned, good.json(), "x"), decodingError + "key or algorithm not acceptable"},
		{"kid, forged", signed(s.headerWith(`"x"`), good.json(), "x"), decodingError + "key or algorithm not acceptable"},
		{
			"forged, expired", s.forged(good.with("exp", now-60)),
			decodingError + "signature verification failed",
		},
		{"forged, no claims", s.forged(claims{}), decodingError + "signature verification failed"},
		{"forged, wrong key", s.forged(good.with("apiKey", "x")), decodingError + "signature verification failed"},
		{"expired, not yet valid", s.jwt(ahead.with("exp", now-60)), decodingError + "signature has expired"},
		{"expired, no aud", s.jwt(good.with("exp", now-60).without("aud")), decodingError + "signature has expired"},
		{"not yet valid, no exp", s.jwt(ahead.without("exp")), decodingError + "token is not yet valid"},
		{"not yet valid, no aud", s.jwt(ahead.without("aud")), decodingError + "token is not yet valid"},
		{"no iat, wrong aud", s.jwt(good.without("iat").with("aud", "x")), decodingError + "required claim missing"},
		{"no exp, wrong aud", s.jwt(good.without("exp").with("aud", "x")), decodingError + "required claim missing"},
		{"wrong aud, too long a life", s.jwt(good.with("aud", "x").with("exp", now+7200)), decodingError + "invalid audience"},
		{"wrong aud, no key", s.jwt(good.with("aud", "x").without("apiKey")), decodingError + "invalid audience"},
		{"too long a life, no key", s.jwt(good.with("exp", now+7200).without("apiKey")), decodingError + "token lifetime too long"},
		{"too long a life, wrong key", s.jwt(good.with("exp", now+7200).with("apiKey", "x")), decodingError + "token lifetime too long"},
		{"no key, no scope", s.jwt(good.without("apiKey").with("scope", "")), "Missing API token"},
		{"wrong key, no scope", s.jwt(good.with("apiKey", "x").with("scope", "")), "Incorrect API token"},
	}
	for _, row := range rows {
		a := tg.do(t, call{path: "/service/account/stevenm", token: row.token})
		if a.status != http.StatusUnauthorized || a.body != `{"detail":"`+row.detail+`"}` {
			t.Errorf("%s: %d %s, want 401 %s", row.name, a.status, a.body, row.detail)
		}
	}
}
