package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestNameFile(t *testing.T) {
	rows := []struct{ name, content, want string }{
		{"one newline is dropped", "value\n", "value"},
		{"a newline of Windows is one", "value\r\n", "value"},
		{"no newline", "value", "value"},
		{"blanks inside stay", "a \t value\n", "a \t value"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := clean(t)
			path := write(t, dir, "secret", row.content)
			t.Setenv("API_KEY_FILE", path)
			l := mustLoad(t, Sources{Dir: dir})
			if got := l.Config.APIKey.Reveal(); got != row.want {
				t.Errorf("from the environment: %q, want %q", got, row.want)
			}
			if got := l.setting(t, "API_KEY").Layer; got != "environment API_KEY_FILE" {
				t.Errorf("layer %q", got)
			}
			_ = os.Unsetenv("API_KEY_FILE")
			write(t, dir, ".env", "API_KEY_FILE="+path+"\n")
			l = mustLoad(t, Sources{Dir: dir})
			if got := l.Config.APIKey.Reveal(); got != row.want || l.setting(t, "API_KEY").Layer != ".env:1" {
				t.Errorf("from .env: %q, want %q", got, row.want)
			}
		})
	}
}

// Compose turns "${NAME_FILE:-}" into "" if nobody sets the variable.
func TestNameFileThatIsEmptyIsUnset(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", "JWT_SECRET_KEY=from-dotenv\nJWT_AUDIENCE_FILE=\nCONFIG_FILE=\n")
	for _, name := range []string{"API_KEY_FILE", "JWT_SECRET_KEY_FILE", "PORT_FILE", "MASTER_KEY_FILE", "TLS_CERT_FILE", "CONFIG_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("MASTER_KEY", samples["MASTER_KEY"][0])
	l := mustLoad(t, Sources{Dir: dir})
	c := l.Config
	if !c.APIKey.IsZero() || c.JWTSecretKey.Reveal() != "from-dotenv" || c.Port != 8000 || c.JWTAudience != "latchkey-api" ||
		c.MasterKey.Reveal() != samples["MASTER_KEY"][0] {
		t.Errorf("%+v", l.Settings)
	}
	for _, name := range []string{"API_KEY", "PORT", "JWT_AUDIENCE"} {
		if got := l.setting(t, name).Layer; got != "default" {
			t.Errorf("%s comes from %s", name, got)
		}
	}
}

func TestNameFileWorksForEverySettingThatIsNoPath(t *testing.T) {
	for _, s := range settings() {
		if s.name == nameAppEnv || strings.HasSuffix(s.name, "_FILE") {
			continue
		}
		value := samples[s.name][0]
		if value == "" {
			value = samples[s.name][1]
		}
		dir := clean(t)
		t.Setenv(s.name+"_FILE", write(t, dir, "value", value+"\n"))
		l := mustLoad(t, Sources{Dir: dir})
		if err := os.Unsetenv(s.name + "_FILE"); err != nil {
			t.Fatal(err)
		}
		want := mustLoad(t, Sources{Dir: dir}).Config
		s.set(&want, value)
		if !reflect.DeepEqual(l.Config, want) || l.setting(t, s.name).Layer != "environment "+s.name+"_FILE" {
			t.Errorf("%s_FILE did not set %s", s.name, s.name)
		}
	}
}

func TestNameFileIsNotReadForPaths(t *testing.T) {
	dir := clean(t)
	path := write(t, dir, "cert.pem", "the certificate")
	t.Setenv("TLS_CERT_FILE", path)
	t.Setenv("TLS_CERT_FILE_FILE", path)
	t.Setenv("TLS_KEY_FILE", filepath.Join(dir, "absent.pem"))
	c := mustLoad(t, Sources{Dir: dir}).Config
	if c.TLSCertFile != path || c.TLSKeyFile != filepath.Join(dir, "absent.pem") {
		t.Errorf("paths %q and %q", c.TLSCertFile, c.TLSKeyFile)
	}
}
