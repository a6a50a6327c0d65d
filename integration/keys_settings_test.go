package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkRegisteredKeysAlone: with a registered key in the store the service starts without a shared key, and accepts none.
func checkRegisteredKeysAlone(t *testing.T, bin string) {
	dir, s := t.TempDir(), harness.FreshSecrets()
	env := harness.ProductionEnv(s, dir)
	env["API_KEY"], env["JWT_SECRET_KEY"] = "", ""
	text, stderr, code := harness.RunCommand(t, bin, dir, env, "keys", "create", "--client", "operations", "--scope", "keys:admin", "--scope", "accounts:read")
	if code != 0 || harness.KeyString.MatchString(stderr) {
		t.Fatalf("keys create: exit code %d: %s", code, stderr)
	}
	key := harness.ParseKey(t, strings.TrimSuffix(text, "\n"), s.Audience)
	p := harness.StartProcessIn(t, bin, dir, s, map[string]string{"API_KEY": "", "JWT_SECRET_KEY": ""})
	p.ExpectToken(t, key.Token(), "")
	p.ExpectToken(t, s.Token(), "key or algorithm not acceptable")
	p.ExpectToken(t, harness.SignHS256(harness.HeaderHS256, s.Good().JSON(), ""), "key or algorithm not acceptable")
}

// checkMasterKey: hs256 keys need the master key that sealed them, until rewrap seals them with the new one. Without it they get
// 503, not 401, and ed25519 keys work.
func checkMasterKey(t *testing.T, bin string) {
	dir, s := t.TempDir(), harness.FreshSecrets()
	older, newer := s.MasterKey, harness.FreshSecrets().MasterKey
	start := func(master, previous string) *harness.Process {
		return harness.StartProcessIn(t, bin, dir, s, map[string]string{"MASTER_KEY": master, "MASTER_KEY_PREVIOUS": previous})
	}
	p := start(older, "")
	p.Enroll(t)
	admin, e, h := p.Admin, p.FullKeys[harness.KindEd25519], p.FullKeys[harness.KindHS256]
	p.Stop(t)

	unusable := func(p *harness.Process, want float64) {
		t.Helper()
		harness.Eventually(t, harness.StartTimeout, "latchkey_keys_unusable has its value", func() bool {
			return harness.SumMetric(p.OpsPage(t, "/metrics"), "latchkey_keys_unusable") == want
		})
	}
	works := func(p *harness.Process) {
		t.Helper()
		unusable(p, 0)
		p.ExpectAccepted(t, e)
		p.ExpectAccepted(t, h)
	}
	unopened := func(p *harness.Process) {
		t.Helper()
		unusable(p, 1)
		// Before the first request.
		harness.Eventually(t, harness.StartTimeout, "the log names MASTER_KEY", func() bool { return strings.Contains(p.Log(t), "MASTER_KEY") })
		p.ExpectAccepted(t, e)
		a := p.Do(t, harness.Call{Path: "/service/whoami", Token: h.Token(), Unready: true})
		if a.IsError(t, http.StatusServiceUnavailable); a.Header.Get("Retry-After") == "" {
			t.Errorf("503 with %v, want Retry-After", a.Header)
		}
	}
	p = start("", "")
	unopened(p)
	p.Admin = admin
	body := harness.Body{"client": "x", "scopes": []string{"accounts:read"}, "kind": harness.KindHS256}
	p.AsAdmin(t, http.MethodPost, "/service/keys", body.JSON()).IsInvalid(t, "body kind")
	p.IssueKey(t, harness.Body{})
	_, stderr, code := p.Run(t, "keys", "create", "--client", "x", "--scope", "accounts:read", "--kind", harness.KindHS256)
	if code != 1 || !strings.Contains(stderr, "MASTER_KEY") {
		t.Errorf("keys create of an hs256 key without a master key: exit code %d: %s", code, stderr)
	}
	p.Stop(t)

	p = start(newer, "")
	unopened(p)
	p.Stop(t)

	p = start(newer, older)
	works(p)
	p.MustRun(t, "keys", "rewrap")
	works(p)
	p.Stop(t)

	p = start(newer, "")
	works(p)
	p.Stop(t)
	unopened(start(older, ""))
}

// checkOtherEnvironment: production refuses keys of development, and a store belongs to one environment.
func checkOtherEnvironment(t *testing.T, bin string) {
	dir, s := t.TempDir(), harness.FreshSecrets()
	p := harness.StartProcessIn(t, bin, dir, s, nil)
	p.Enroll(t)

	elsewhere := t.TempDir()
	env := harness.ProductionEnv(s, elsewhere)
	env["APP_ENV"] = "development"
	for _, kind := range []string{harness.KindEd25519, harness.KindHS256} {
		text, stderr, code := harness.RunCommand(t, bin, elsewhere, env, "keys", "create", "--client", "x", "--scope", "accounts:read", "--kind", kind)
		if code != 0 {
			t.Fatalf("keys create in development: exit code %d: %s", code, stderr)
		}
		key := harness.ParseKey(t, strings.TrimSpace(text), s.Audience)
		if key.Env != "test" {
			t.Errorf("a key made in development is of %q", key.Env)
		}
		p.ExpectToken(t, key.Token(), "key or algorithm not acceptable")
	}

	env = harness.ProductionEnv(s, dir)
	env["APP_ENV"] = "development"
	for _, args := range [][]string{
		{"keys", "create", "--client", "x", "--scope", "accounts:read"}, {"keys", "list"}, {"keys", "show", p.Admin.ID}, {"keys", "revoke", p.Admin.ID},
	} {
		stdout, stderr, code := harness.RunCommand(t, bin, dir, env, args...)
		if code != 1 || !strings.Contains(stderr, "production") || stdout != "" {
			t.Errorf("%v in development on a store of production: exit code %d: %q, %q", args, code, stdout, stderr)
		}
	}
	p.ExpectAccepted(t, p.Admin)
}

// checkWarmTokenExpires: a cached token is refused from its exp on.
func checkWarmTokenExpires(t *testing.T, bin string) {
	p := harness.StartProcess(t, bin, map[string]string{"JWT_LEEWAY": "0s"})
	p.Enroll(t)
	for name, holder := range p.CredentialsFor("accounts:read") {
		expires := time.Now().Truncate(time.Second).Add(2 * time.Second)
		token := holder.JWT(holder.Good().With("exp", expires.Unix()))
		p.ExpectToken(t, token, "")
		harness.Eventually(t, harness.StartTimeout, name+": a token expires", func() bool {
			sent := time.Now()
			a := p.Do(t, harness.Call{Path: "/service/account/stevenm", Token: token})
			if a.Status == http.StatusOK {
				if sent.After(expires) {
					t.Errorf("%s: accepted %s after exp", name, sent.Sub(expires))
				}
				return false
			}
			if time.Now().Before(expires) {
				t.Errorf("%s: refused %s before exp", name, time.Until(expires))
			}
			a.Is(t, http.StatusUnauthorized, `{"detail":"`+harness.DecodingError+`signature has expired"}`)
			return true
		})
	}
}
