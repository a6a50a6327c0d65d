package integration

import (
	"os"
	"strings"
	"testing"
)

// deployedTarget is the service at LATCHKEY_URL; without that variable the test is skipped.
func deployedTarget(t *testing.T) *target {
	t.Helper()
	url := os.Getenv("LATCHKEY_URL")
	if url == "" {
		t.Skip("LATCHKEY_URL is not set: the suite starts its own targets")
	}
	setting := func(name, absent string) string {
		for _, name := range []string{"LATCHKEY_" + name, name} {
			if value := os.Getenv(name); value != "" {
				return value
			}
		}
		return absent
	}
	tg := &target{
		kind:   "deployment",
		url:    strings.TrimSuffix(url, "/"),
		opsURL: strings.TrimSuffix(os.Getenv("LATCHKEY_OPS_URL"), "/"),
		secrets: secrets{
			apiKey:    setting("API_KEY", ""),
			secretKey: setting("JWT_SECRET_KEY", ""),
			audience:  setting("JWT_AUDIENCE", "latchkey-api"),
		},
	}
	if tg.secrets.apiKey == "" || tg.secrets.secretKey == "" {
		t.Fatal("LATCHKEY_URL is set, but not LATCHKEY_API_KEY and LATCHKEY_JWT_SECRET_KEY")
	}
	if text := setting("ADMIN_KEY", ""); text != "" {
		tg.admin = readKey(t, text, tg.secrets.audience)
		tg.rememberKey(t, text)
	}
	return tg
}
