package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// checkRegisteredKeysAlone: with a registered key in the store the service needs no shared one, and then has none.
func checkRegisteredKeysAlone(t *testing.T, bin string) {
	dir, s := t.TempDir(), freshSecrets()
	env := productionEnv(s, dir)
	env["API_KEY"], env["JWT_SECRET_KEY"] = "", ""
	text, stderr, code := command(t, bin, dir, env, "keys", "create", "--client", "operations", "--scope", "keys:admin", "--scope", "accounts:read")
	if code != 0 || keyString.MatchString(stderr) {
		t.Fatalf("keys create: exit code %d: %s", code, stderr)
	}
	key := readKey(t, strings.TrimSuffix(text, "\n"), s.audience)
	p := startProcessIn(t, bin, dir, s, map[string]string{"API_KEY": "", "JWT_SECRET_KEY": ""})
	p.expects(t, key.token(), "")
	p.expects(t, s.token(), "key or algorithm not acceptable")
	p.expects(t, signed(headerHS256, s.good().json(), ""), "key or algorithm not acceptable")
}

// checkMasterKey: hs256 keys need the master key that sealed them, until they are sealed anew. Without it they are out of
// order, not wrong, and the others do not notice.
func checkMasterKey(t *testing.T, bin string) {
	dir, s := t.TempDir(), freshSecrets()
	older, newer := s.masterKey, freshSecrets().masterKey
	start := func(master, previous string) *process {
		return startProcessIn(t, bin, dir, s, map[string]string{"MASTER_KEY": master, "MASTER_KEY_PREVIOUS": previous})
	}
	p := start(older, "")
	p.enroll(t)
	admin, e, h := p.admin, p.every[kindEd25519], p.every[kindHS256]
	p.stop(t)

	unusable := func(p *process, want float64) {
		t.Helper()
		eventually(t, startLimit, "latchkey_keys_unusable has its value", func() bool {
			return sum(p.opsPage(t, "/metrics"), "latchkey_keys_unusable") == want
		})
	}
	works := func(p *process) {
		t.Helper()
		unusable(p, 0)
		p.passes(t, e)
		p.passes(t, h)
	}
	outOfOrder := func(p *process) {
		t.Helper()
		unusable(p, 1)
		// Before anybody calls.
		eventually(t, startLimit, "the log names MASTER_KEY", func() bool { return strings.Contains(p.log(t), "MASTER_KEY") })
		p.passes(t, e)
		a := p.do(t, call{path: "/service/whoami", token: h.token(), unready: true})
		if a.says(t, http.StatusServiceUnavailable); a.header.Get("Retry-After") == "" {
			t.Errorf("503 with %v, want Retry-After", a.header)
		}
	}
	p = start("", "")
	outOfOrder(p)
	p.admin = admin
	body := request{"client": "x", "scopes": []string{"accounts:read"}, "kind": kindHS256}
	p.administer(t, http.MethodPost, "/service/keys", body.json()).invalid(t, "body kind")
	p.issue(t, request{})
	_, stderr, code := p.run(t, "keys", "create", "--client", "x", "--scope", "accounts:read", "--kind", kindHS256)
	if code != 1 || !strings.Contains(stderr, "MASTER_KEY") {
		t.Errorf("keys create of an hs256 key without a master key: exit code %d: %s", code, stderr)
	}
	p.stop(t)

	p = start(newer, "")
	outOfOrder(p)
	p.stop(t)

	p = start(newer, older)
	works(p)
	p.latchkey(t, "keys", "rewrap")
	works(p)
	p.stop(t)

	p = start(newer, "")
	works(p)
	p.stop(t)
	outOfOrder(start(older, ""))
}

// checkOtherEnvironment: keys of development and of production have nothing to do with each other, and a store is one of
// the two.
func checkOtherEnvironment(t *testing.T, bin string) {
	dir, s := t.TempDir(), freshSecrets()
	p := startProcessIn(t, bin, dir, s, nil)
	p.enroll(t)

	elsewhere := t.TempDir()
	env := productionEnv(s, elsewhere)
	env["APP_ENV"] = "development"
	for _, kind := range []string{kindEd25519, kindHS256} {
		text, stderr, code := command(t, bin, elsewhere, env, "keys", "create", "--client", "x", "--scope", "accounts:read", "--kind", kind)
		if code != 0 {
			t.Fatalf("keys create in development: exit code %d: %s", code, stderr)
		}
		key := readKey(t, strings.TrimSpace(text), s.audience)
		if key.env != "test" {
			t.Errorf("a key made in development is of %q", key.env)
		}
		p.expects(t, key.token(), "key or algorithm not acceptable")
	}

	env = productionEnv(s, dir)
	env["APP_ENV"] = "development"
	for _, args := range [][]string{
		{"keys", "create", "--client", "x", "--scope", "accounts:read"}, {"keys", "list"}, {"keys", "show", p.admin.id}, {"keys", "revoke", p.admin.id},
	} {
		stdout, stderr, code := command(t, bin, dir, env, args...)
		if code != 1 || !strings.Contains(stderr, "production") || stdout != "" {
			t.Errorf("%v in development on a store of production: exit code %d: %q, %q", args, code, stdout, stderr)
		}
	}
	p.passes(t, p.admin)
}

// checkWarmTokenExpires: a token that was accepted over and over is refused when its time is over, not later.
func checkWarmTokenExpires(t *testing.T, bin string) {
	p := startProcess(t, bin, map[string]string{"JWT_LEEWAY": "0s"})
	p.enroll(t)
	for name, holder := range p.holders("accounts:read") {
		expires := time.Now().Truncate(time.Second).Add(2 * time.Second)
		token := holder.jwt(holder.good().with("exp", expires.Unix()))
		p.expects(t, token, "")
		eventually(t, startLimit, name+": a token expires", func() bool {
			asked := time.Now()
			a := p.do(t, call{path: "/service/account/stevenm", token: token})
			if a.status == http.StatusOK {
				if asked.After(expires) {
					t.Errorf("%s: accepted %s after exp", name, asked.Sub(expires))
				}
				return false
			}
			if time.Now().Before(expires) {
				t.Errorf("%s: refused %s before exp", name, time.Until(expires))
			}
			a.is(t, http.StatusUnauthorized, `{"detail":"`+decodingError+`signature has expired"}`)
			return true
		})
	}
}
