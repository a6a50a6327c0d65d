package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// checkExplain: the program says of a token what the service answers to it, and what to do; it exits with 0 only for one
// that is accepted.
func checkExplain(t *testing.T, tg *target) {
	if tg.cli == nil {
		t.Skip("NOT TESTED: there is no command line beside this target")
	}
	key := tg.every[kindEd25519]
	revoked, _ := tg.issue(t, request{"kind": kindHS256})
	tg.change(t, revoked, "revoke")
	good, now := key.good(), time.Now().Unix()
	shared := tg.secrets
	for name, token := range map[string]string{
		"shared":             shared.token(),
		"ed25519":            key.token(),
		"hs256, narrowed":    tg.every[kindHS256].scoped("accounts:read"),
		"a word":             "abc",
		"malformed claims":   key.sign(key.header, `{"exp":"soon"}`),
		"unknown kid":        key.sign(key.headerWith(`"`+unknownID("E")+`"`), good.json()),
		"confused algorithm": signed(`{"alg":"HS256","kid":"`+key.id+`"}`, good.json(), string(key.public())),
		"forged":             key.forged(good),
		"expired":            key.jwt(good.with("iat", now-360).with("exp", now-60)),
		"not yet valid":      shared.jwt(shared.good().with("nbf", now+120)),
		"no exp":             key.jwt(good.without("exp")),
		"another audience":   key.jwt(good.with("aud", "x")),
		"too long a life":    key.jwt(good.with("exp", now+7200)),
		"no apiKey":          key.jwt(good.without("apiKey")),
		"another's apiKey":   key.jwt(good.with("apiKey", tg.admin.id)),
		"revoked":            revoked.token(),
	} {
		a := tg.do(t, call{path: "/service/whoami", token: token})
		want := 0
		var said struct{ Detail string }
		if a.status != http.StatusOK {
			want = 1
			a.decode(t, &said)
		}
		stdout, stderr, code := tg.run(t, "explain", token)
		if code != want {
			t.Errorf("%s: exit code %d, want %d: %s%s", name, code, want, stdout, stderr)
		}
		if want == 1 && (said.Detail == "" || !strings.Contains(stdout, said.Detail)) {
			t.Errorf("%s: the service answers %q, the program says %s", name, said.Detail, stdout)
		}
		if strings.Contains(stdout+stderr, token) && len(token) > 20 {
			t.Errorf("%s: the token is printed again: %s%s", name, stdout, stderr)
		}
	}
}
