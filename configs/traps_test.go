package configs

import (
	"os"
	"strings"
	"testing"
)

// The traps of cleanenv, one test each.

func TestLayersFalseBeatsADefaultOfTrue(t *testing.T) {
	dir := clean(t)
	path := write(t, dir, "x.yaml", "docs_enabled: false\njwt_require_audience: false\nport: 0\njwt_leeway: 0s\n")
	c := mustLoad(t, Sources{Dir: dir, Flags: map[string]string{"CONFIG_FILE": path}}).Config
	if c.DocsEnabled || c.JWTRequireAudience || c.Port != 0 || c.JWTLeeway != 0 {
		t.Errorf("a default came back: %+v", c)
	}
}

func TestEnvironmentVariableThatIsEmptyIsSet(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", "API_KEY=from-dotenv\nOPS_ADDR=:1\nTLS_CERT_FILE=x\n")
	t.Setenv("API_KEY", "")
	t.Setenv("OPS_ADDR", "")
	t.Setenv("TLS_CERT_FILE", "")
	l := mustLoad(t, Sources{Dir: dir})
	if c := l.Config; !c.APIKey.IsZero() || c.OpsAddr != "" || c.TLSCertFile != "" {
		t.Errorf("%q %q %q", c.APIKey.Reveal(), c.OpsAddr, c.TLSCertFile)
	}
	if got := l.setting(t, "OPS_ADDR").Layer; got != "environment OPS_ADDR" {
		t.Errorf("layer %q", got)
	}
}

func TestSecretsThatAreEmptyAreMissing(t *testing.T) {
	for _, environment := range []string{"development", "production"} {
		dir := clean(t)
		t.Setenv("APP_ENV", environment)
		t.Setenv("API_KEY", "key")
		t.Setenv("JWT_SECRET_KEY", "")
		_, err := LoadAndValidate(Sources{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "API_KEY is set without JWT_SECRET_KEY") {
			t.Errorf("%s: %v", environment, err)
		}
	}
}

func TestDotenvLeavesTheEnvironmentAlone(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", "PORT=1\nHOST=10.0.0.1\n")
	t.Setenv("PORT", "2")
	c := mustLoad(t, Sources{Dir: dir}).Config
	if c.Port != 2 || c.Host != "10.0.0.1" {
		t.Errorf("host %s, port %d", c.Host, c.Port)
	}
	if host, set := os.LookupEnv("HOST"); set || os.Getenv("PORT") != "2" {
		t.Errorf("Load changed the environment: HOST=%q PORT=%q", host, os.Getenv("PORT"))
	}
}

func TestDotenvDoesNotCoverAFaultOfTheEnvironment(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", "API_KEY_FILE="+dir+"/absent\nJWT_SECRET_KEY=from-dotenv\n")
	t.Setenv("API_KEY_FILE", dir+"/absent")
	t.Setenv("JWT_SECRET_KEY_FILE", dir+"/absent")
	l, err := Load(Sources{Dir: dir})
	if got := problemsOf(t, err); len(got) != 2 || strings.Contains(err.Error(), ".env") {
		t.Errorf("problems %q, want one for each variable", got)
	}
	if !l.Config.JWTSecretKey.IsZero() {
		t.Error("the secret comes from .env although the environment sets it")
	}
}

// cleanenv keeps the blanks around the items of a list.
func TestEnvironmentListsLoseTheirBlanks(t *testing.T) {
	dir := clean(t)
	t.Setenv("TRUSTED_PROXIES", " 10.0.0.0/8 , 192.0.2.1 ")
	if got := mustLoad(t, Sources{Dir: dir}).Config.TrustedProxies; len(got) != 2 {
		t.Errorf("TrustedProxies %v", got)
	}
}

// An image sets DATABASE_URL. An operator can empty a variable of an image, but not unset it.
func TestNameFileFillsAnEmptyVariable(t *testing.T) {
	dir := clean(t)
	t.Setenv("DATABASE_URL", "")
	t.Setenv("DATABASE_URL_FILE", write(t, dir, "url", "sqlite:/data/other.db\n"))
	loaded, err := Load(Sources{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := loaded.Config.DatabaseURL.Reveal(); got != "sqlite:/data/other.db" {
		t.Errorf("got %q", got)
	}
}
