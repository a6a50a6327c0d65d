package harness

import (
	"encoding/base64"
	"testing"
)

func TestSignHS256MatchesRFC7515(t *testing.T) {
	// Appendix A.1: header, payload and key of the RFC give the token of the RFC.
	key, err := base64.RawURLEncoding.DecodeString(
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	got := SignHS256("{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}",
		"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}", string(key))
	const want = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if lax := NonCanonical(got); lax == got {
		t.Error("nonCanonical changed nothing")
	}
}
