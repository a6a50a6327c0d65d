package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// clean removes our variables from the environment, and returns an empty folder for .env and other files.
func clean(t *testing.T) string {
	t.Helper()
	names := []string{nameConfigFile}
	for _, row := range settings() {
		names = append(names, row.name, row.name+"_FILE")
	}
	for _, name := range names {
		t.Setenv(name, "") // so that it is restored after the test
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	return t.TempDir()
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, src Sources) *Loaded {
	t.Helper()
	l, err := Load(src)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return l
}

func (l *Loaded) setting(t *testing.T, name string) Setting {
	t.Helper()
	for _, s := range l.Settings {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("%s is not listed", name)
	return Setting{}
}

func TestDefaults(t *testing.T) {
	rows := []struct{ name, development, production string }{
		{"APP_ENV", "development", "production"},
		{"HOST", "127.0.0.1", "0.0.0.0"},
		{"PORT", "8000", "8000"},
		{"OPS_ADDR", "127.0.0.1:9464", "0.0.0.0:9464"},
		{"API_KEY", "", ""},
		{"JWT_SECRET_KEY", "", ""},
		{"JWT_SECRET_KEY_PREVIOUS", "", ""},
		{"JWT_ALGORITHM", "HS256", "HS256"},
		{"JWT_AUDIENCE", "latchkey-api", "latchkey-api"},
		{"JWT_REQUIRE_AUDIENCE", "true", "true"},
		{"JWT_LEEWAY", "30s", "30s"},
		{"JWT_TTL", "5m", "5m"},
		{"JWT_MAX_LIFETIME", "1h", "1h"},
		{"MASTER_KEY", "", ""},
		{"MASTER_KEY_PREVIOUS", "", ""},
		{"DATABASE_URL", "sqlite:data/latchkey.db", "sqlite:data/latchkey.db"},
		{"LOG_LEVEL", "info", "info"},
		{"LOG_FORMAT", "text", "json"},
		{"ACCESS_LOG", "true", "true"},
		{"REQUEST_TIMEOUT", "5s", "5s"},
		{"SHUTDOWN_TIMEOUT", "10s", "10s"},
		{"DRAIN_DELAY", "0s", "2s"},
		{"IDLE_TIMEOUT", "75s", "75s"},
		{"TLS_CERT_FILE", "", ""},
		{"TLS_KEY_FILE", "", ""},
		{"TRUSTED_PROXIES", "", ""},
		{"CORS_ORIGINS", "", ""},
		{"DOCS_ENABLED", "true", "true"},
		{"DEMO_DATA", "true", "false"},
		{"TOKEN_CACHE_SIZE", "50000", "50000"},
		{"AUDIT_RETENTION", "8760h", "8760h"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "", ""},
	}
	dir := clean(t)
	development := mustLoad(t, Sources{Dir: dir})
	production := mustLoad(t, Sources{Dir: dir, Flags: map[string]string{"APP_ENV": "production"}})
	if len(rows) != len(development.Settings) || len(rows) != len(production.Settings) || len(rows) != len(Names()) {
		t.Fatalf("%d rows for %d settings", len(rows), len(development.Settings))
	}
	for i, row := range rows {
		if got := development.Settings[i]; got.Name != row.name || got.Value != row.development {
			t.Errorf("development: %s is %q, want %s %q", got.Name, got.Value, row.name, row.development)
		}
		if got := production.Settings[i]; got.Name != row.name || got.Value != row.production {
			t.Errorf("production: %s is %q, want %s %q", got.Name, got.Value, row.name, row.production)
		}
	}
	if got := development.setting(t, "PORT").Layer; got != "default" {
		t.Errorf("PORT comes from %q", got)
	}
	if got := production.setting(t, "DRAIN_DELAY").Layer; got != "configs/production.yaml:4" {
		t.Errorf("DRAIN_DELAY comes from %q", got)
	}
	if development.Config.AppEnv != Development || production.Config.AppEnv != Production {
		t.Errorf("AppEnv: %q and %q", development.Config.AppEnv, production.Config.AppEnv)
	}
}

// samples are two values for each setting, which every layer can set.
var samples = map[string][2]string{
	"HOST":                        {"10.0.0.1", "::1"},
	"PORT":                        {"0", "65535"},
	"OPS_ADDR":                    {"", ":9000"},
	"API_KEY":                     {"key-one", "key-two"},
	"JWT_SECRET_KEY":              {"secret-one", "secret-$two # x"},
	"JWT_SECRET_KEY_PREVIOUS":     {"previous-one", "previous-two"},
	"JWT_ALGORITHM":               {"HS384", "HS512"},
	"JWT_AUDIENCE":                {"one", "two"},
	"JWT_REQUIRE_AUDIENCE":        {"false", "true"},
	"JWT_LEEWAY":                  {"0s", "2m"},
	"JWT_TTL":                     {"1s", "2h"},
	"JWT_MAX_LIFETIME":            {"2s", "24h"},
	"MASTER_KEY":                  {"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="},
	"MASTER_KEY_PREVIOUS":         {"YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU=", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="},
	"DATABASE_URL":                {"sqlite:/data/x.db", "postgres://user:word@db/name"},
	"LOG_LEVEL":                   {"debug", "ERROR"},
	"LOG_FORMAT":                  {"text", "json"},
	"ACCESS_LOG":                  {"false", "1"},
	"REQUEST_TIMEOUT":             {"1ms", "1m"},
	"SHUTDOWN_TIMEOUT":            {"1s", "1m"},
	"DRAIN_DELAY":                 {"0s", "3s"},
	"IDLE_TIMEOUT":                {"1s", "2m"},
	"TLS_CERT_FILE":               {"/tls/a.pem", "b.pem"},
	"TLS_KEY_FILE":                {"/tls/a.key", "b.key"},
	"TRUSTED_PROXIES":             {"10.0.0.0/8,::1", "192.0.2.7"},
	"CORS_ORIGINS":                {"https://a.example,http://localhost:3000", "https://b.example"},
	"DOCS_ENABLED":                {"false", "t"},
	"DEMO_DATA":                   {"false", "true"},
	"TOKEN_CACHE_SIZE":            {"0", "1000000"},
	"AUDIT_RETENTION":             {"1h", "24h"},
	"OTEL_EXPORTER_OTLP_ENDPOINT": {"http://collector:4318", ""},
}

// source puts a value of a setting into one layer, and returns the layer's name in listings.
type source struct {
	name string
	can  func(setting) bool
	put  func(t *testing.T, src *Sources, s setting, value string) (layer string)
}

func everySetting(setting) bool { return true }

// sources are the layers in their order.
var sources = []source{
	{"CONFIG_FILE", everySetting, func(t *testing.T, src *Sources, s setting, value string) string {
		path := write(t, src.Dir, "settings.yaml", "# a comment\n"+s.key()+": '"+value+"'\n")
		t.Setenv("CONFIG_FILE", path)
		return path + ":2"
	}},
	{".env", everySetting, func(t *testing.T, src *Sources, s setting, value string) string {
		write(t, src.Dir, ".env", "\n# a comment\nexport "+s.name+"='"+value+"'\n")
		return ".env:3"
	}},
	{"environment", everySetting, func(t *testing.T, _ *Sources, s setting, value string) string {
		t.Setenv(s.name, value)
		return "environment " + s.name
	}},
	{"flag", func(s setting) bool { return !s.secret }, func(_ *testing.T, src *Sources, s setting, value string) string {
		src.Flags = map[string]string{s.name: value}
		return "flag --" + strings.ReplaceAll(s.key(), "_", "-")
	}},
}

func TestLayersWinOverEarlierOnes(t *testing.T) {
	for _, s := range settings() {
		if s.name == nameAppEnv {
			continue
		}
		values, ok := samples[s.name]
		if !ok {
			t.Fatalf("no sample values for %s", s.name)
		}
		for i, higher := range sources {
			lowers := append([]source{{name: "default"}}, sources[:i]...)
			for _, lower := range lowers {
				if !higher.can(s) {
					continue
				}
				for _, order := range [][2]string{values, {values[1], values[0]}} {
					t.Run(s.name+"/"+higher.name+" over "+lower.name, func(t *testing.T) {
						src := Sources{Dir: clean(t)}
						want := mustLoad(t, src).Config
						if !s.set(&want, order[1]) {
							t.Fatalf("%q is no value of %s", order[1], s.name)
						}
						if lower.put != nil {
							lower.put(t, &src, s, order[0])
						}
						layer := higher.put(t, &src, s, order[1])
						got := mustLoad(t, src)
						if !reflect.DeepEqual(got.Config, want) {
							t.Errorf("the value of %s did not win", higher.name)
						}
						if listed := got.setting(t, s.name); listed.Layer != layer {
							t.Errorf("listed under %q, want %q", listed.Layer, layer)
						}
					})
				}
			}
		}
	}
}

func TestConfigFileBeatsTheEmbeddedFile(t *testing.T) {
	dir := clean(t)
	path := write(t, dir, "x.yaml", "drain_delay: 7s\nlog_format: json\n")
	l := mustLoad(t, Sources{Dir: dir, Flags: map[string]string{"APP_ENV": "production", "CONFIG_FILE": path}})
	if got := l.setting(t, "DRAIN_DELAY"); got.Value != "7s" || got.Layer != path+":1" {
		t.Errorf("DRAIN_DELAY in production: %+v", got)
	}
	l = mustLoad(t, Sources{Dir: dir, Flags: map[string]string{"CONFIG_FILE": path}})
	if got := l.setting(t, "LOG_FORMAT"); got.Value != "json" {
		t.Errorf("LOG_FORMAT in development: %+v", got)
	}
}

func TestConfigFileIsNamedByFlagEnvironmentOrDotenv(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", "CONFIG_FILE="+write(t, dir, "dotenv.yaml", "port: 1\n")+"\n")
	src := Sources{Dir: dir}
	if got := mustLoad(t, src).Config.Port; got != 1 {
		t.Errorf("by .env: port %d", got)
	}
	t.Setenv("CONFIG_FILE", write(t, dir, "environment.yaml", "port: 2\n"))
	if got := mustLoad(t, src).Config.Port; got != 2 {
		t.Errorf("by the environment: port %d", got)
	}
	src.Flags = map[string]string{"CONFIG_FILE": write(t, dir, "flag.yaml", "port: 3\n")}
	if got := mustLoad(t, src).Config.Port; got != 3 {
		t.Errorf("by the flag: port %d", got)
	}
}

func TestYAMLLists(t *testing.T) {
	dir := clean(t)
	path := write(t, dir, "x.yaml", "trusted_proxies:\n  - 10.1.2.3/8\n  - 192.0.2.7\n  - 2001:db8::1\ncors_origins: [https://A.example:443, 'http://[::1]:3000']\n")
	c := mustLoad(t, Sources{Dir: dir, Flags: map[string]string{"CONFIG_FILE": path}}).Config
	var proxies []string
	for _, p := range c.TrustedProxies {
		proxies = append(proxies, p.String())
	}
	if want := []string{"10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"}; !slices.Equal(proxies, want) {
		t.Errorf("TrustedProxies %v, want %v", proxies, want)
	}
	if want := []string{"https://a.example", "http://[::1]:3000"}; !slices.Equal(c.CORSOrigins, want) {
		t.Errorf("CORSOrigins %v, want %v", c.CORSOrigins, want)
	}
}

func TestEmptyConfigFiles(t *testing.T) {
	for _, content := range []string{"", "\n", "# only a comment\n", "---\n", "{}\n", "~\n"} {
		dir := clean(t)
		path := write(t, dir, "x.yaml", content)
		mustLoad(t, Sources{Dir: dir, Flags: map[string]string{"CONFIG_FILE": path}})
	}
}

func TestLoadOfSomeSettingsLooksAtNoOthers(t *testing.T) {
	dir := clean(t)
	t.Setenv("API_KEY_FILE", "/absent")
	t.Setenv("JWT_TTL", "nonsense")
	t.Setenv("PORT", "81")
	write(t, dir, ".env", "MASTER_KEY_FILE=/absent\nOPS_ADDR=nonsense\n")
	path := write(t, dir, "x.yaml", "jwt_leeway: [1]\n")
	l := mustLoad(t, Sources{Dir: dir, Only: []string{"HOST", "PORT"}, Flags: map[string]string{"CONFIG_FILE": path}})
	if l.Config.Port != 81 {
		t.Errorf("port %d", l.Config.Port)
	}
	if len(l.Settings) != 3 {
		t.Errorf("%d settings are listed, want APP_ENV, HOST and PORT", len(l.Settings))
	}
}

func TestSettingsHaveDescriptions(t *testing.T) {
	help := Describe()
	for _, s := range Names() {
		if s.Description == "" || s.Layer != "default" {
			t.Errorf("%+v", s)
		}
		if !strings.Contains(help, "\n  "+s.Name+" string\n") || !strings.Contains(help, s.Description) {
			t.Errorf("%s is missing in the help", s.Name)
		}
	}
}
