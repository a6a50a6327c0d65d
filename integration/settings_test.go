package integration

import (
	"crypto/sha512"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkAudienceOptional: with JWT_REQUIRE_AUDIENCE=false a token of an older client, without aud, is accepted. A wrong aud is
// still refused.
func checkAudienceOptional(t *testing.T, bin string) {
	strict := harness.StartProcess(t, bin, nil)
	lenient := harness.StartProcess(t, bin, map[string]string{"JWT_REQUIRE_AUDIENCE": "false"})
	for _, tt := range []struct {
		p    *harness.Process
		c    harness.Claims
		want string // "" for accepted
	}{
		{strict, strict.Secrets.Good().Without("aud"), "required claim missing"},
		{lenient, lenient.Secrets.Good().Without("aud"), ""},
		{lenient, lenient.Secrets.Good(), ""},
		{lenient, lenient.Secrets.Good().With("aud", "other"), "invalid audience"},
		{lenient, lenient.Secrets.Good().With("aud", ""), "invalid audience"},
		{lenient, lenient.Secrets.Good().With("aud", []string{}), "invalid audience"},
		{lenient, lenient.Secrets.Good().Without("aud", "iat"), "required claim missing"},
		{lenient, lenient.Secrets.Good().Without("aud", "exp"), "required claim missing"},
	} {
		tt.p.ExpectToken(t, tt.p.Secrets.JWT(tt.c), tt.want)
	}
}

// checkPreviousSecret: with JWT_SECRET_KEY_PREVIOUS tokens of both secrets are accepted.
func checkPreviousSecret(t *testing.T, bin string) {
	older := harness.FreshSecrets()
	p := harness.StartProcess(t, bin, map[string]string{"JWT_SECRET_KEY_PREVIOUS": older.SecretKey})
	p.ExpectToken(t, p.Secrets.Token(), "")
	p.ExpectToken(t, harness.SignHS256(harness.HeaderHS256, p.Secrets.Good().JSON(), older.SecretKey), "")
	p.ExpectToken(t, harness.SignHS256(harness.HeaderHS256, p.Secrets.Good().JSON(), harness.FreshSecrets().SecretKey), "signature verification failed")
	p.ExpectToken(t, harness.SignHS256(harness.HeaderHS256, p.Secrets.Good().JSON(), ""), "signature verification failed")
	if strings.Contains(p.Output.String(), older.SecretKey) {
		t.Error("the previous secret is printed")
	}
}

// checkAlgorithm: the shared key has only the algorithm in JWT_ALGORITHM.
func checkAlgorithm(t *testing.T, bin string) {
	p := harness.StartProcess(t, bin, map[string]string{"JWT_ALGORITHM": "HS512"})
	good := p.Secrets.Good().JSON()
	p.ExpectToken(t, harness.SignHMAC(sha512.New, `{"alg":"HS512"}`, good, p.Secrets.SecretKey), "")
	p.ExpectToken(t, harness.SignHMAC(sha512.New384, `{"alg":"HS384"}`, good, p.Secrets.SecretKey), "key or algorithm not acceptable")
	p.ExpectToken(t, p.Secrets.Token(), "key or algorithm not acceptable")
	p.ExpectToken(t, harness.SignHS256(`{"alg":"HS512"}`, good, p.Secrets.SecretKey), "signature verification failed")
}

// checkDocsOff: DOCS_ENABLED=false removes the documentation and nothing else.
func checkDocsOff(t *testing.T, bin string) {
	p := harness.StartProcess(t, bin, map[string]string{"DOCS_ENABLED": "false"})
	p.Do(t, harness.Call{Path: "/docs"}).IsError(t, http.StatusNotFound)
	p.Do(t, harness.Call{Path: "/service/whoami", Token: p.Secrets.Token()}).Is(t, http.StatusOK, "")
}

// checkRefusesToStart: wrong settings end the program with exit code 1, and one sentence for each problem, without secrets.
func checkRefusesToStart(t *testing.T, bin string) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, busyPort, err := net.SplitHostPort(busy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const articleKey = "6f16c1a4-0de8-47ca-abbc-d7d02ea0d3ee"
	const articleSecret = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2MrvTecJigWsgebOHo7X"
	tests := []struct {
		name     string
		settings map[string]string
		says     []string // parts of the output
		hides    string
	}{
		{"a port in use", map[string]string{"PORT": busyPort}, []string{busyPort}, ""},
		{"a store that cannot be written", map[string]string{"DATABASE_URL": "sqlite:" + notAFolder + "/x.db"}, []string{notAFolder}, ""},
		{"no key at all", map[string]string{"API_KEY": "", "JWT_SECRET_KEY": ""}, []string{"API_KEY"}, ""},
		{"a short secret", map[string]string{"JWT_SECRET_KEY": "k7Gq2-too-short-9x"}, []string{"JWT_SECRET_KEY"}, "k7Gq2-too-short-9x"},
		{"the article's API key", map[string]string{"API_KEY": articleKey}, []string{"API_KEY"}, articleKey},
		{"the article's secret", map[string]string{"JWT_SECRET_KEY": articleSecret}, []string{"JWT_SECRET_KEY"}, articleSecret},
		{
			"five problems",
			map[string]string{
				"PORT": "eighty", "JWT_ALGORITHM": "none", "JWT_LEEWAY": "1h", "TRUSTED_PROXIES": "*", "TLS_CERT_FILE": "cert.pem",
			},
			[]string{"PORT", "JWT_ALGORITHM", "JWT_LEEWAY", "TRUSTED_PROXIES", "TLS_KEY_FILE"},
			"",
		},
	}
	for _, tt := range tests {
		dir, s := t.TempDir(), harness.FreshSecrets()
		env := harness.ProductionEnv(s, dir)
		maps.Copy(env, tt.settings)
		p := harness.Launch(t, bin, dir, env)
		select {
		case <-p.Exited:
		case <-time.After(harness.StartTimeout):
			t.Fatalf("%s: the program runs", tt.name)
		}
		printed := p.Output.String()
		if code := p.Cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("%s: exit code %d, want 1: %s", tt.name, code, printed)
		}
		for _, want := range tt.says {
			if !strings.Contains(printed, want) {
				t.Errorf("%s: %q is not named: %s", tt.name, want, printed)
			}
		}
		if lines := strings.Count(strings.TrimSpace(printed), "\n") + 1; lines > len(tt.says)+1 {
			t.Errorf("%s: %d lines for %d problems: %s", tt.name, lines, len(tt.says), printed)
		}
		for _, secret := range []string{tt.hides, env["API_KEY"], env["JWT_SECRET_KEY"]} {
			if secret != "" && strings.Contains(printed, secret) {
				t.Errorf("%s: a secret is printed: %s", tt.name, printed)
			}
		}
		if strings.Contains(printed, "panic") || strings.Contains(printed, "goroutine") {
			t.Errorf("%s: %s", tt.name, printed)
		}
	}
}
