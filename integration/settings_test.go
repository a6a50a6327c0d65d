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
)

// checkAudienceOptional: with JWT_REQUIRE_AUDIENCE=false the payload of older clients, which has no aud, is accepted;
// an aud that is there must still be right.
func checkAudienceOptional(t *testing.T, bin string) {
	strict := startProcess(t, bin, nil)
	lenient := startProcess(t, bin, map[string]string{"JWT_REQUIRE_AUDIENCE": "false"})
	for _, tt := range []struct {
		p    *process
		c    claims
		want string // "" for accepted
	}{
		{strict, strict.secrets.good().without("aud"), "required claim missing"},
		{lenient, lenient.secrets.good().without("aud"), ""},
		{lenient, lenient.secrets.good(), ""},
		{lenient, lenient.secrets.good().with("aud", "other"), "invalid audience"},
		{lenient, lenient.secrets.good().with("aud", ""), "invalid audience"},
		{lenient, lenient.secrets.good().with("aud", []string{}), "invalid audience"},
		{lenient, lenient.secrets.good().without("aud", "iat"), "required claim missing"},
		{lenient, lenient.secrets.good().without("aud", "exp"), "required claim missing"},
	} {
		tt.p.expects(t, tt.p.secrets.jwt(tt.c), tt.want)
	}
}

// checkPreviousSecret: during a rotation tokens of both secrets verify, and no others.
func checkPreviousSecret(t *testing.T, bin string) {
	older := freshSecrets()
	p := startProcess(t, bin, map[string]string{"JWT_SECRET_KEY_PREVIOUS": older.secretKey})
	p.expects(t, p.secrets.token(), "")
	p.expects(t, signed(headerHS256, p.secrets.good().json(), older.secretKey), "")
	p.expects(t, signed(headerHS256, p.secrets.good().json(), freshSecrets().secretKey), "signature verification failed")
	p.expects(t, signed(headerHS256, p.secrets.good().json(), ""), "signature verification failed")
	if strings.Contains(p.output.String(), older.secretKey) {
		t.Error("the previous secret is printed")
	}
}

// checkAlgorithm: the shared key has one algorithm, the one that is configured.
func checkAlgorithm(t *testing.T, bin string) {
	p := startProcess(t, bin, map[string]string{"JWT_ALGORITHM": "HS512"})
	good := p.secrets.good().json()
	p.expects(t, signedWith(sha512.New, `{"alg":"HS512"}`, good, p.secrets.secretKey), "")
	p.expects(t, signedWith(sha512.New384, `{"alg":"HS384"}`, good, p.secrets.secretKey), "key or algorithm not acceptable")
	p.expects(t, p.secrets.token(), "key or algorithm not acceptable")
	p.expects(t, signed(`{"alg":"HS512"}`, good, p.secrets.secretKey), "signature verification failed")
}

// checkDocsOff: the page can be switched off, and the service still answers.
func checkDocsOff(t *testing.T, bin string) {
	p := startProcess(t, bin, map[string]string{"DOCS_ENABLED": "false"})
	p.do(t, call{path: "/docs"}).says(t, http.StatusNotFound)
	p.do(t, call{path: "/service/whoami", token: p.secrets.token()}).is(t, http.StatusOK, "")
}

// checkRefusesToStart: what is wrong with the settings is told in one sentence each, without the secrets, with exit code
// 1, and before anything listens.
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
		says     []string // each stands somewhere in what is printed
		hides    string
	}{
		{"a port in use", map[string]string{"PORT": busyPort}, []string{busyPort}, ""},
		{"a store that cannot be written", map[string]string{"DATABASE_URL": "sqlite:" + notAFolder + "/x.db"}, []string{notAFolder}, ""},
		{"no way to authenticate", map[string]string{"API_KEY": "", "JWT_SECRET_KEY": ""}, []string{"API_KEY"}, ""},
		{"a short secret", map[string]string{"JWT_SECRET_KEY": "k7Gq2-too-short-9x"}, []string{"JWT_SECRET_KEY"}, "k7Gq2-too-short-9x"},
		{"the article's API key", map[string]string{"API_KEY": articleKey}, []string{"API_KEY"}, articleKey},
		{"the article's secret", map[string]string{"JWT_SECRET_KEY": articleSecret}, []string{"JWT_SECRET_KEY"}, articleSecret},
		{
			"five faults",
			map[string]string{
				"PORT": "eighty", "JWT_ALGORITHM": "none", "JWT_LEEWAY": "1h", "TRUSTED_PROXIES": "*", "TLS_CERT_FILE": "cert.pem",
			},
			[]string{"PORT", "JWT_ALGORITHM", "JWT_LEEWAY", "TRUSTED_PROXIES", "TLS_KEY_FILE"},
			"",
		},
	}
	for _, tt := range tests {
		dir, s := t.TempDir(), freshSecrets()
		env := productionEnv(s, dir)
		maps.Copy(env, tt.settings)
		p := launch(t, bin, dir, env)
		select {
		case <-p.exited:
		case <-time.After(startLimit):
			t.Fatalf("%s: the program runs", tt.name)
		}
		printed := p.output.String()
		if code := p.cmd.ProcessState.ExitCode(); code != 1 {
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
