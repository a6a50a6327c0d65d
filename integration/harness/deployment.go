package harness

import (
	"os"
	"strings"
	"testing"
)

// Deployment is the service at LATCHKEY_URL; without that variable the test is skipped.
func Deployment(t *testing.T) *Target {
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
	tg := &Target{
		Kind:   "deployment",
		URL:    strings.TrimSuffix(url, "/"),
		OpsURL: strings.TrimSuffix(os.Getenv("LATCHKEY_OPS_URL"), "/"),
		Secrets: Secrets{
			APIKey:    setting("API_KEY", ""),
			SecretKey: setting("JWT_SECRET_KEY", ""),
			Audience:  setting("JWT_AUDIENCE", "latchkey-api"),
		},
	}
	if tg.Secrets.APIKey == "" || tg.Secrets.SecretKey == "" {
		t.Fatal("LATCHKEY_URL is set, but not LATCHKEY_API_KEY and LATCHKEY_JWT_SECRET_KEY")
	}
	if text := setting("ADMIN_KEY", ""); text != "" {
		tg.Admin = ParseKey(t, text, tg.Secrets.Audience)
		tg.RememberKey(t, text)
	}
	return tg
}
