package integration

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// mintWithOpenSSL is a shell's way to a token: no code of ours, and none of Go.
const mintWithOpenSSL = `
set -eu
b64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
now=$(date +%s)
header=$(printf '{"alg":"HS256","typ":"JWT"}' | b64url)
payload=$(printf '{"apiKey":"%s","aud":"%s","iat":%d,"exp":%d}' "$API_KEY" "$JWT_AUDIENCE" "$now" $((now + 300)) | b64url)
signature=$(printf '%s.%s' "$header" "$payload" | openssl dgst -sha256 -hmac "$JWT_SECRET_KEY" -binary | b64url)
printf '%s.%s.%s' "$header" "$payload" "$signature"
`

// checkOpenSSLToken: a token that a shell made is accepted bare, as older clients send it, and with Bearer.
func checkOpenSSLToken(t *testing.T, tg *target) {
	for _, tool := range []string{"sh", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			unavailable(t, "no token was made by a shell: %v", err)
		}
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", mintWithOpenSSL)
	shell.Env = append(os.Environ(), "API_KEY="+tg.secrets.apiKey, "JWT_SECRET_KEY="+tg.secrets.secretKey, "JWT_AUDIENCE="+tg.secrets.audience)
	var stderr strings.Builder
	shell.Stderr = &stderr
	token, err := shell.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	for _, scheme := range []string{"", "Bearer "} {
		a := tg.do(t, call{path: "/service/account/stevenm", auth: []string{scheme + string(token)}})
		a.is(t, http.StatusOK, `{"id":"2112","username":"stevenm"}`)
	}
}
