package integration

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// mintWithOpenSSL mints a token in a shell: with the Ed25519 key PEM, or without one with the HMAC secret SECRET. For Ed25519
// OpenSSL reads its input from a file only.
const mintWithOpenSSL = `
set -eu
b64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
now=$(date +%s)
header=$(printf '%s' "$HEADER" | b64url)
payload=$(printf '{"apiKey":"%s","aud":"%s","iat":%d,"exp":%d}' "$API_KEY" "$JWT_AUDIENCE" "$now" $((now + 300)) | b64url)
printf '%s.%s' "$header" "$payload" >input
if [ -n "$PEM" ]; then
	printf '%s' "$PEM" >key.pem
	openssl pkeyutl -sign -rawin -inkey key.pem -in input -out signature
else
	openssl dgst -sha256 -hmac "$SECRET" -binary -out signature input
fi
printf '%s.%s' "$(cat input)" "$(b64url <signature)"
`

// opensslToken is a token from mintWithOpenSSL.
func opensslToken(t *testing.T, env ...string) string {
	t.Helper()
	for _, tool := range []string{"sh", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			harness.Unavailable(t, "no token was minted in a shell: %v", err)
		}
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", mintWithOpenSSL)
	shell.Dir, shell.Env = t.TempDir(), append(append(os.Environ(), "PEM=", "SECRET="), env...)
	var stderr strings.Builder
	shell.Stderr = &stderr
	token, err := shell.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return string(token)
}

// checkOpenSSLToken: a token minted in a shell is accepted, bare and with Bearer.
func checkOpenSSLToken(t *testing.T, tg *harness.Target) {
	token := opensslToken(t, "HEADER="+harness.HeaderHS256, "API_KEY="+tg.Secrets.APIKey, "SECRET="+tg.Secrets.SecretKey, "JWT_AUDIENCE="+tg.Secrets.Audience)
	for _, scheme := range []string{"", "Bearer "} {
		a := tg.Do(t, harness.Call{Path: "/service/account/stevenm", Auth: []string{scheme + token}})
		a.Is(t, http.StatusOK, `{"id":"2112","username":"stevenm"}`)
	}
}

// checkOpenSSLKeys: with the output of keys create and keys pem, a shell mints accepted tokens.
func checkOpenSSLKeys(t *testing.T, tg *harness.Target) {
	if tg.CLI == nil {
		t.Skip("NOT TESTED: there is no command line beside this target")
	}
	for _, kind := range tg.Kinds() {
		t.Run(kind, func(t *testing.T) {
			stdout := tg.MustRun(t, "keys", "create", "--client", "shell", "--scope", "accounts:read", "--kind", kind)
			key := harness.ParseKey(t, strings.TrimSuffix(stdout, "\n"), tg.Secrets.Audience) // only the key string
			if key.Kind != kind {
				t.Fatalf("asked for %s, got %s", kind, key.Kind)
			}
			env := []string{"HEADER=" + key.Header, "API_KEY=" + key.ID, "JWT_AUDIENCE=" + tg.Secrets.Audience}
			if kind == harness.KindHS256 {
				env = append(env, "SECRET="+key.Text)
				if _, _, code := tg.Run(t, "keys", "pem", "--key", key.Text); code != 1 {
					t.Errorf("keys pem of an hs256 key: exit code %d", code)
				}
			} else {
				needsOpenSSL3(t)
				env = append(env, "PEM="+tg.MustRun(t, "keys", "pem", "--key", key.Text))
			}
			token := opensslToken(t, env...)
			for _, scheme := range []string{"", "Bearer "} {
				a := tg.Do(t, harness.Call{Path: "/service/account/stevenm", Auth: []string{scheme + token}})
				a.Is(t, http.StatusOK, `{"id":"2112","username":"stevenm"}`)
			}
		})
	}
}

// needsOpenSSL3 ends a test where openssl cannot sign with Ed25519.
func needsOpenSSL3(t *testing.T) {
	t.Helper()
	version, err := exec.CommandContext(t.Context(), "openssl", "version").Output()
	if err != nil || !strings.HasPrefix(string(version), "OpenSSL ") || string(version) < "OpenSSL 3" {
		harness.Unavailable(t, "no Ed25519 token was minted in a shell: %s, %v", version, err)
	}
}
