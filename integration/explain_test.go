package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkExplain: explain says the same as the service about a token. It exits with 0 only for accepted tokens.
func checkExplain(t *testing.T, tg *harness.Target) {
	if tg.CLI == nil {
		t.Skip("NOT TESTED: there is no command line beside this target")
	}
	key := tg.FullKeys[harness.KindEd25519]
	revoked, _ := tg.IssueKey(t, harness.Body{"kind": harness.KindHS256})
	tg.ChangeKey(t, revoked, "revoke")
	good, now := key.Good(), time.Now().Unix()
	shared := tg.Secrets
	for name, token := range map[string]string{
		"shared":             shared.Token(),
		"ed25519":            key.Token(),
		"hs256, narrowed":    tg.FullKeys[harness.KindHS256].Scoped("accounts:read"),
		"a word":             "abc",
		"malformed claims":   key.Sign(key.Header, `{"exp":"soon"}`),
		"unknown kid":        key.Sign(key.HeaderWithKeyID(`"`+harness.UnknownKeyID("E")+`"`), good.JSON()),
		"confused algorithm": harness.SignHS256(`{"alg":"HS256","kid":"`+key.ID+`"}`, good.JSON(), string(key.Public())),
		"forged":             key.Forged(good),
		"expired":            key.JWT(good.With("iat", now-360).With("exp", now-60)),
		"not yet valid":      shared.JWT(shared.Good().With("nbf", now+120)),
		"no exp":             key.JWT(good.Without("exp")),
		"another audience":   key.JWT(good.With("aud", "x")),
		"too long a life":    key.JWT(good.With("exp", now+7200)),
		"no apiKey":          key.JWT(good.Without("apiKey")),
		"another's apiKey":   key.JWT(good.With("apiKey", tg.Admin.ID)),
		"revoked":            revoked.Token(),
	} {
		a := tg.Do(t, harness.Call{Path: "/service/whoami", Token: token})
		want := 0
		var said struct{ Detail string }
		if a.Status != http.StatusOK {
			want = 1
			a.Decode(t, &said)
		}
		stdout, stderr, code := tg.Run(t, "explain", token)
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
