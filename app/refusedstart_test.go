package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/configs"
)

// TestStartThatIsRefusedMakesNoStore: it would belong to an environment that was perhaps set by mistake.
func TestStartThatIsRefusedMakesNoStore(t *testing.T) {
	for want, spoil := range map[string]func(*configs.Config){
		"nobody could authenticate": func(c *configs.Config) { c.APIKey, c.JWTSecretKey = configs.Secret{}, configs.Secret{} },
		"TLS_CERT_FILE":             func(c *configs.Config) { c.TLSCertFile, c.TLSKeyFile = "missing.pem", "missing.key" },
	} {
		dir := filepath.Join(t.TempDir(), "data")
		config := testConfig(t)
		config.AppEnv = configs.Production
		config.DatabaseURL = configs.NewSecret("sqlite:" + filepath.Join(dir, "latchkey.db"))
		spoil(&config)
		var log strings.Builder
		a, err := New(t.Context(), config, "test", NewLogger(config, &log))
		if err == nil {
			_ = a.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) || log.Len() > 0 {
			t.Errorf("%v, want %q, and the log has %q", err, want, log.String())
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: a store was made (%v)", want, err)
		}
	}
}
