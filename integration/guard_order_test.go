package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkOrder: a request with several problems gets the refusal of the first, for each guarded operation.
func checkOrder(t *testing.T, tg *harness.Target) {
	doc := tg.OpenAPI(t)
	for _, op := range doc.Guarded() {
		forged := harness.SignHS256(harness.HeaderHS256, tg.Secrets.Good().JSON(), "another secret")
		// Only the path of this request is right.
		broken := op.MustRequest(t)
		broken.Path, _, _ = strings.Cut(broken.Path, "?")
		if op.RequestBody != nil {
			broken.Header["Content-Type"], broken.Body = "text/plain", `{"unknown":`
		}

		wrongMethod := broken
		wrongMethod.Method, wrongMethod.Token = "BREW", forged
		a := tg.Do(t, wrongMethod)
		a.IsRefused(t, http.StatusMethodNotAllowed, "Method Not Allowed", "")

		anonymous := broken
		a = tg.Do(t, anonymous)
		a.IsRefused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)

		forgery := broken
		forgery.Token = forged
		if a = tg.Do(t, forgery); a.Status != http.StatusUnauthorized {
			t.Errorf("%s, forged: %d %s, want 401", op.Name(), a.Status, a.Body)
		}

		narrow := broken
		narrow.Token = tg.Secrets.Scoped("")
		a = tg.Do(t, narrow)
		if designed[op.Name()] != "" && a.Status != http.StatusForbidden {
			t.Errorf("%s without scope: %d %s, want 403", op.Name(), a.Status, a.Body)
		}
		if holder, ok := tg.CredentialFor(a.NeededScope()); ok && op.RequestBody != nil {
			broken.Token = holder.Token()
			checkBodyOrder(t, tg, op, broken)
		}
	}
	checkResourceOrder(t, tg)
}

// checkBodyOrder: after the guard, the media type is checked before the body.
func checkBodyOrder(t *testing.T, tg *harness.Target, op harness.Operation, broken harness.Call) {
	t.Helper()
	a := tg.Do(t, broken)
	a.IsError(t, http.StatusUnsupportedMediaType)
	a.FitsDocumentation(t, op)

	broken.Header["Content-Type"] = "application/json"
	a = tg.Do(t, broken)
	a.Is(t, http.StatusUnprocessableEntity, "")
	a.FitsDocumentation(t, op)
}

// checkGuardOrder: a token that fails several checks gets the refusal of the first. Each row fails two neighbouring checks, so
// the rows together fix the whole order.
func checkGuardOrder(t *testing.T, tg *harness.Target) {
	for name, holder := range tg.CredentialsFor("accounts:read") {
		t.Run(name, func(t *testing.T) { checkGuardOrderOf(t, tg, holder) })
	}
}

func checkGuardOrderOf(t *testing.T, tg *harness.Target, s harness.Credential) {
	t.Helper()
	now := time.Now().Unix()
	good := s.Good()
	unsigned := strings.Replace(s.Header, harness.AlgMember.FindString(s.Header), `"alg":"none"`, 1)
	ahead := good.With("nbf", now+120)
	rows := []refusal{
		{"too long, malformed", strings.Repeat("~", 4000), harness.DecodingError + "token too long"},
		{"malformed claims, alg none", s.Sign(unsigned, `{"exp":"soon"}`), harness.DecodingError + "malformed token"},
		{"malformed claims, forged", harness.SignHS256(s.Header, `{"exp":"soon"}`, "x"), harness.DecodingError + "malformed token"},
		{"alg none, forged", harness.SignHS256(unsigned, good.JSON(), "x"), harness.DecodingError + "key or algorithm not acceptable"},
		{"kid, forged", harness.SignHS256(s.HeaderWithKeyID(`"x"`), good.JSON(), "x"), harness.DecodingError + "key or algorithm not acceptable"},
		{
			"forged, expired", s.Forged(good.With("exp", now-60)),
			harness.DecodingError + "signature verification failed",
		},
		{"forged, no claims", s.Forged(harness.Claims{}), harness.DecodingError + "signature verification failed"},
		{"forged, wrong key", s.Forged(good.With("apiKey", "x")), harness.DecodingError + "signature verification failed"},
		{"expired, not yet valid", s.JWT(ahead.With("exp", now-60)), harness.DecodingError + "signature has expired"},
		{"expired, no aud", s.JWT(good.With("exp", now-60).Without("aud")), harness.DecodingError + "signature has expired"},
		{"not yet valid, no exp", s.JWT(ahead.Without("exp")), harness.DecodingError + "token is not yet valid"},
		{"not yet valid, no aud", s.JWT(ahead.Without("aud")), harness.DecodingError + "token is not yet valid"},
		{"no iat, wrong aud", s.JWT(good.Without("iat").With("aud", "x")), harness.DecodingError + "required claim missing"},
		{"no exp, wrong aud", s.JWT(good.Without("exp").With("aud", "x")), harness.DecodingError + "required claim missing"},
		{"wrong aud, too long a life", s.JWT(good.With("aud", "x").With("exp", now+7200)), harness.DecodingError + "invalid audience"},
		{"wrong aud, no key", s.JWT(good.With("aud", "x").Without("apiKey")), harness.DecodingError + "invalid audience"},
		{"too long a life, no key", s.JWT(good.With("exp", now+7200).Without("apiKey")), harness.DecodingError + "token lifetime too long"},
		{"too long a life, wrong key", s.JWT(good.With("exp", now+7200).With("apiKey", "x")), harness.DecodingError + "token lifetime too long"},
		{"no key, no scope", s.JWT(good.Without("apiKey").With("scope", "")), "Missing API token"},
		{"wrong key, no scope", s.JWT(good.With("apiKey", "x").With("scope", "")), "Incorrect API token"},
	}
	for _, row := range rows {
		a := tg.Do(t, harness.Call{Path: "/service/account/stevenm", Token: row.token})
		if a.Status != http.StatusUnauthorized || a.Body != `{"detail":"`+row.detail+`"}` {
			t.Errorf("%s: %d %s, want 401 %s", row.name, a.Status, a.Body, row.detail)
		}
	}
}

// checkResourceOrder: the request is checked before the store is read.
func checkResourceOrder(t *testing.T, tg *harness.Target) {
	t.Helper()
	tests := []struct {
		name   string
		c      harness.Call
		status int
	}{
		{"a taken name, and an unknown field", harness.Post("/service/account/register", `{"username":"stevenm","x":1}`), 422},
		{"a taken name", harness.Post("/service/account/register", `{"username":"stevenm"}`), 409},
		{"no such user, and no name", harness.Post("/service/storyspaces/begin", `{"username":"nobody-here"}`), 422},
		{"no such user, and an empty name", harness.Post("/service/storyspaces/begin", `{"username":"nobody-here","name":""}`), 422},
		{"no such user", harness.Post("/service/storyspaces/begin", `{"username":"nobody-here","name":"x"}`), 404},
		{"no such id, and none given", harness.Call{Path: "/service/account/?account_id="}, 422},
		{"no such id", harness.Call{Path: "/service/account/?account_id=nobody-here"}, 404},
	}
	for _, tt := range tests {
		anonymous := tg.Do(t, tt.c)
		anonymous.IsRefused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)
		tt.c.Token = tg.Secrets.Scoped("keys:admin")
		if a := tg.Do(t, tt.c); a.Status != http.StatusForbidden {
			t.Errorf("%s, without scope: %d %s, want 403", tt.name, a.Status, a.Body)
		}
		tt.c.Token = tg.Secrets.Token()
		if a := tg.Do(t, tt.c); a.Status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, a.Status, a.Body, tt.status)
		}
	}
}
