package configs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// problemsOf are the sentences of an error of this package.
func problemsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	problems, ok := errors.AsType[Problems](err)
	if !ok {
		t.Fatalf("%T is not Problems: %v", err, err)
	}
	if len(problems) == 0 {
		t.Fatal("Problems without a problem")
	}
	return problems
}

func TestValidateRefusesValues(t *testing.T) {
	rows := map[string][]string{
		"APP_ENV":                     {"", "prod", "Production", " production"},
		"HOST":                        {"", "[::1]", "a b", "http://x", "-x", "x..y", "300.1.1.1", "1.2.3", strings.Repeat("a", 64), strings.Repeat("a.", 127)},
		"PORT":                        {"", "abc", "-1", "65536", "80.5", "0x50", "99999999999999999999", " 80"},
		"OPS_ADDR":                    {"9464", "x:abc", "x:-1", "x:65536", "a b:80", "http://x:80", "::1:80"},
		"JWT_ALGORITHM":               {"", "none", "None", "hs256", "RS256", "EdDSA", "HS1"},
		"JWT_AUDIENCE":                {""},
		"JWT_REQUIRE_AUDIENCE":        {"", "maybe", "2", "yes"},
		"JWT_LEEWAY":                  {"", "30", "-1s", "2m1s", "1h"},
		"JWT_TTL":                     {"", "5", "0s", "-5m", "999ms"},
		"JWT_MAX_LIFETIME":            {"", "x", "0s", "-1h"},
		"MASTER_KEY":                  {"short", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MA==", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDF=", "__________________________________________8="},
		"MASTER_KEY_PREVIOUS":         {"short"},
		"DATABASE_URL":                {"", "sqlite:", "sqlite:///x.db", "data/x.db", "mysql://h/db", "postgres:", "Postgres://h/db", "postgres://u:p/w@h/db", "postgres://u:1/w@h/db", "postgres://u:1?w@h/db", "postgres://u:1#w@h/db", "postgres://u:%zz@h/db", "postgres://h/db?password=%zz"},
		"LOG_LEVEL":                   {"", "verbose", "INFO+2", "0"},
		"LOG_FORMAT":                  {"", "xml", "JSON"},
		"ACCESS_LOG":                  {"", "on"},
		"REQUEST_TIMEOUT":             {"", "5", "0s", "-1s"},
		"SHUTDOWN_TIMEOUT":            {"", "0", "0s", "-1s"},
		"DRAIN_DELAY":                 {"", "-1s", "2"},
		"IDLE_TIMEOUT":                {"", "60", "0s", "-1s"},
		"TRUSTED_PROXIES":             {"*", "10.0.0.1,*", "0.0.0.0/0", "::/0", "10.0.0.0/33", "proxy", "10.0.0.1,,10.0.0.2", "::ffff:0:0/96", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.1/8/8"},
		"CORS_ORIGINS":                {"*", "https://*", "null", "app.example", "https://a.example/", "https://a.example/x", "https://u@a.example", "https://a.example?x", "https://a.example#x", "ftp://a.example", "https://", "https://a:0x1", "https://a:70000", "https://a:", "https://a.example,,"},
		"DOCS_ENABLED":                {"", "no"},
		"DEMO_DATA":                   {"", "demo"},
		"TOKEN_CACHE_SIZE":            {"", "-1", "1000001", "many"},
		"AUDIT_RETENTION":             {"", "365d", "0s", "-1h"},
		"OTEL_EXPORTER_OTLP_ENDPOINT": {"collector:4317", "grpc://collector:4317", "http://", "http://a b"},
	}
	for name, values := range rows {
		for _, value := range values {
			t.Run(name+"/"+value, func(t *testing.T) {
				dir := clean(t)
				t.Setenv(name, value)
				l, err := Load(Sources{Dir: dir})
				problems := problemsOf(t, err)
				if len(problems) != 1 || !strings.HasPrefix(problems[0], name+" ") {
					t.Fatalf("problems: %q", problems)
				}
				if !strings.HasSuffix(problems[0], "(from environment "+name+")") || strings.Contains(problems[0], "\n") {
					t.Errorf("problem: %q", problems[0])
				}
				if value == "" && !strings.Contains(problems[0], "is empty") {
					t.Errorf("an empty value is not called empty: %q", problems[0])
				}
				if got := l.setting(t, name); got.Value != fallbackOf(name) || got.Layer != "default" {
					t.Errorf("listed as %+v", got)
				}
			})
		}
	}
	for _, s := range settings() {
		if _, ok := rows[s.name]; !ok && s.want != plain().want {
			t.Errorf("no row for %s", s.name)
		}
	}
}

func fallbackOf(name string) string {
	for _, s := range settings() {
		if s.name == name {
			return s.fallback
		}
	}
	return ""
}

const strong = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestValidateRefusesServers(t *testing.T) {
	const key32 = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	placeholder := map[string]string{}
	for _, s := range settings() {
		placeholder[s.name] = s.placeholder
	}
	both := func(env ...string) []string { return append([]string{"API_KEY=k", "JWT_SECRET_KEY=" + strong}, env...) }
	rows := []struct {
		name       string
		env        []string
		everywhere bool // refused in development too
		starts     string
	}{
		{"API_KEY alone", []string{"API_KEY=k"}, true, "API_KEY is set without JWT_SECRET_KEY"},
		{"API_KEY with an empty secret", []string{"API_KEY=k", "JWT_SECRET_KEY="}, true, "API_KEY is set without JWT_SECRET_KEY"},
		{"JWT_SECRET_KEY alone", []string{"JWT_SECRET_KEY=" + strong}, true, "JWT_SECRET_KEY is set without API_KEY"},
		{"previous secret alone", []string{"JWT_SECRET_KEY_PREVIOUS=" + strong}, true, "JWT_SECRET_KEY_PREVIOUS is set without JWT_SECRET_KEY"},
		{"previous master key alone", []string{"MASTER_KEY_PREVIOUS=" + key32}, true, "MASTER_KEY_PREVIOUS is set without MASTER_KEY"},
		{"TTL over the lifetime", []string{"JWT_TTL=61m"}, true, "JWT_TTL must not be longer than JWT_MAX_LIFETIME"},
		{"certificate alone", []string{"TLS_CERT_FILE=a"}, true, "TLS_CERT_FILE is set without TLS_KEY_FILE"},
		{"TLS key alone", []string{"TLS_KEY_FILE=a"}, true, "TLS_KEY_FILE is set without TLS_CERT_FILE"},

		{"31 bytes for HS256", []string{"API_KEY=k", "JWT_SECRET_KEY=" + strong[:31]}, false, "JWT_SECRET_KEY is shorter"},
		{"47 bytes for HS384", []string{"API_KEY=k", "JWT_ALGORITHM=HS384", "JWT_SECRET_KEY=" + strong[:47]}, false, "JWT_SECRET_KEY is shorter"},
		{"63 bytes for HS512", []string{"API_KEY=k", "JWT_ALGORITHM=HS512", "JWT_SECRET_KEY=" + strong[:63]}, false, "JWT_SECRET_KEY is shorter"},
		{"short previous secret", both("JWT_SECRET_KEY_PREVIOUS=" + strong[:31]), false, "JWT_SECRET_KEY_PREVIOUS is shorter"},
		{"placeholder API_KEY", []string{"API_KEY=" + placeholder["API_KEY"], "JWT_SECRET_KEY=" + strong}, false, "API_KEY is a placeholder"},
		{"placeholder JWT_SECRET_KEY", []string{"API_KEY=k", "JWT_SECRET_KEY=" + placeholder["JWT_SECRET_KEY"]}, false, "JWT_SECRET_KEY is a placeholder"},
		{"placeholder MASTER_KEY", both("MASTER_KEY=" + placeholder["MASTER_KEY"]), false, "MASTER_KEY is a placeholder"},
		{"placeholder previous master key", both("MASTER_KEY="+key32, "MASTER_KEY_PREVIOUS="+placeholder["MASTER_KEY"]), false, "MASTER_KEY_PREVIOUS is a placeholder"},
		{"one placeholder for another setting", []string{"API_KEY=" + placeholder["JWT_SECRET_KEY"], "JWT_SECRET_KEY=" + strong}, false, "API_KEY is a placeholder"},
		{"the article's API key", []string{"API_KEY=6f16c1a4-0de8-47ca-abbc-d7d02ea0d3ee", "JWT_SECRET_KEY=" + strong}, false, "API_KEY is the API key of the article"},
		{"the article's secret", []string{"API_KEY=k", "JWT_SECRET_KEY=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2MrvTecJigWsgebOHo7X"}, false, "JWT_SECRET_KEY is the secret of the article"},
		{"the article's secret as the previous one", both("JWT_SECRET_KEY_PREVIOUS=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2MrvTecJigWsgebOHo7X"), false, "JWT_SECRET_KEY_PREVIOUS is the secret of the article"},
	}
	for _, row := range rows {
		for _, environment := range []Environment{Development, Production} {
			t.Run(row.name+"/"+string(environment), func(t *testing.T) {
				dir := clean(t)
				t.Setenv("APP_ENV", string(environment))
				for _, pair := range row.env {
					name, value, _ := strings.Cut(pair, "=")
					t.Setenv(name, value)
				}
				src := Sources{Dir: dir}
				loaded := mustLoad(t, src) // no problem for the commands that do not serve
				got := problemsOf(t, loaded.Config.Validate())
				_, err := LoadAndValidate(src)
				if both := problemsOf(t, err); !slices.Equal(got, both) {
					t.Errorf("Validate says %q, LoadAndValidate %q", got, both)
				}
				if environment == Development && !row.everywhere {
					if got != nil {
						t.Fatalf("development refuses: %q", got)
					}
					return
				}
				if len(got) == 0 || !strings.HasPrefix(got[0], row.starts) {
					t.Fatalf("problems %q, want %q", got, row.starts)
				}
				if !row.everywhere && len(got) != 1 {
					t.Errorf("more than one problem: %q", got)
				}
			})
		}
	}
}

func TestValidateAcceptsServers(t *testing.T) {
	rows := map[string][]string{
		"nothing at all, the store decides": nil,
		"32 bytes for HS256":                {"API_KEY=k", "JWT_SECRET_KEY=" + strong[:32]},
		"48 bytes for HS384":                {"API_KEY=k", "JWT_ALGORITHM=HS384", "JWT_SECRET_KEY=" + strong[:48]},
		"64 bytes for HS512":                {"API_KEY=k", "JWT_ALGORITHM=HS512", "JWT_SECRET_KEY=" + strong},
		"both empty":                        {"API_KEY=", "JWT_SECRET_KEY="},
		"TTL as long as allowed":            {"JWT_TTL=1h"},
		"both TLS files":                    {"TLS_CERT_FILE=a", "TLS_KEY_FILE=b"},
	}
	for name, env := range rows {
		t.Run(name, func(t *testing.T) {
			dir := clean(t)
			t.Setenv("APP_ENV", "production")
			for _, pair := range env {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			if _, err := LoadAndValidate(Sources{Dir: dir}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestValidateReportsFiveFaultsInFiveLines(t *testing.T) {
	dir := clean(t)
	t.Setenv("APP_ENV", "production")
	t.Setenv("PORT", "http")
	t.Setenv("JWT_MAX_LIFETIME", "an hour") // hides the problem of JWT_TTL, which is too long for the default
	t.Setenv("JWT_TTL", "100h")
	t.Setenv("API_KEY_FILE", filepath.Join(dir, "absent")) // hides the problem of JWT_SECRET_KEY without API_KEY
	t.Setenv("JWT_SECRET_KEY", "too-short")
	t.Setenv("TLS_CERT_FILE", "cert.pem")
	_, err := LoadAndValidate(Sources{Dir: dir})
	lines := strings.Split(err.Error(), "\n")
	starts := []string{
		"API_KEY_FILE names a file that does not exist",
		"PORT must be a whole number",
		"JWT_MAX_LIFETIME must be a duration",
		"TLS_CERT_FILE is set without TLS_KEY_FILE",
		"JWT_SECRET_KEY is shorter",
	}
	if len(lines) != len(starts) {
		t.Fatalf("%d lines:\n%s", len(lines), err)
	}
	for i, start := range starts {
		if !strings.HasPrefix(lines[i], start) {
			t.Errorf("line %d is %q, want %q", i+1, lines[i], start)
		}
	}
}

func TestNameFileFaults(t *testing.T) {
	dir := clean(t)
	good := write(t, dir, "good", "value")
	empty := write(t, dir, "empty", "\n")
	large := write(t, dir, "large", strings.Repeat("x", maxFile+1))
	rows := []struct {
		name string
		env  []string
		want string
	}{
		{"both set", []string{"API_KEY=a", "API_KEY_FILE=" + good}, "both API_KEY and API_KEY_FILE are set"},
		{"absent", []string{"API_KEY_FILE=" + dir + "/absent"}, "API_KEY_FILE names a file that does not exist"},
		{"a folder", []string{"API_KEY_FILE=" + dir}, "API_KEY_FILE names a file that cannot be read"},
		{"a line too many", []string{"API_KEY_FILE=" + write(t, dir, "lines", "value\n\n")}, "API_KEY has white space at an end"},
		{"empty", []string{"API_KEY_FILE=" + empty}, "API_KEY_FILE names a file that is empty"},
		{"large", []string{"API_KEY_FILE=" + large}, "API_KEY_FILE names a file that is larger than 1 MiB"},
		{"content that does not parse", []string{"PORT_FILE=" + good}, "PORT must be a whole number from 0 to 65535 (from environment PORT_FILE)"},
		{"absent CONFIG_FILE", []string{"CONFIG_FILE=" + dir + "/absent.yaml"}, "CONFIG_FILE names a file that does not exist: "},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, pair := range row.env {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			_, err := LoadAndValidate(Sources{Dir: dir})
			problems := problemsOf(t, err)
			if len(problems) != 1 || !strings.HasPrefix(problems[0], row.want) {
				t.Errorf("problems %q, want %q", problems, row.want)
			}
		})
	}
}

func TestSecretsWithWhiteSpaceAtAnEnd(t *testing.T) {
	for _, s := range settings() {
		if !s.secret {
			continue
		}
		good := samples[s.name][0]
		for _, wrong := range []string{" " + good, good + " ", good + "\t", good + "\n", good + "\r\n", "\u00a0" + good, good + "\u3000", " "} {
			dir := clean(t)
			t.Setenv(s.name, wrong)
			_, err := Load(Sources{Dir: dir})
			problems := problemsOf(t, err)
			signers := map[string]string{"DATABASE_URL": "", "MASTER_KEY": "", "MASTER_KEY_PREVIOUS": ""}
			also, ok := signers[s.name]
			if !ok {
				also = ", also where tokens are signed"
			}
			want := s.name + " has white space at an end: remove it" + also + " (from environment " + s.name + ")"
			if !slices.Equal(problems, []string{want}) {
				t.Errorf("%q: %q", wrong, problems)
			}
		}
		dir := clean(t)
		t.Setenv(s.name+"_FILE", write(t, dir, "secret", good+" \n"))
		if _, err := Load(Sources{Dir: dir}); !strings.HasPrefix(problemsOf(t, err)[0], s.name+" has white space at an end") {
			t.Errorf("from a file: %v", err)
		}
	}
}

func TestSecretsThatAreEqual(t *testing.T) {
	const value = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" // fits all of them
	var names []string
	for _, s := range settings() {
		if s.secret {
			names = append(names, s.name)
		}
	}
	if len(names) != 5 {
		t.Fatalf("secrets: %q", names)
	}
	for i, one := range names {
		for _, other := range names[i+1:] {
			for _, environment := range []string{"development", "production"} {
				dir := clean(t)
				t.Setenv("APP_ENV", environment)
				for j, name := range names {
					t.Setenv(name, string(rune('A'+j))+value[1:len(value)-4]+"MDE=") // different ones
				}
				t.Setenv(one, value)
				if _, err := LoadAndValidate(Sources{Dir: dir}); err != nil {
					t.Errorf("different ones are refused: %v", err)
				}
				t.Setenv(other, value)
				_, err := LoadAndValidate(Sources{Dir: dir})
				problems := problemsOf(t, err)
				if len(problems) != 1 || !strings.HasPrefix(problems[0], one+" and "+other+" have the same value: ") {
					t.Errorf("%s, %s = %s: %q", environment, one, other, problems)
				}
				if strings.Contains(strings.Join(problems, ""), value) {
					t.Errorf("the value stands in %q", problems)
				}
				if signs := strings.HasPrefix(other, "JWT_") && one == "API_KEY"; signs != strings.Contains(strings.Join(problems, ""), "could sign") {
					t.Errorf("%s = %s: %q", one, other, problems)
				}
			}
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := clean(t)
	path := write(t, dir, "secret", "value")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(path); err == nil {
		_ = f.Close()
		t.Skip("this user reads every file")
	}
	t.Setenv("API_KEY_FILE", path)
	_, err := Load(Sources{Dir: dir})
	if problems := problemsOf(t, err); !strings.HasPrefix(problems[0], "API_KEY_FILE names a file that may not be read by this user") {
		t.Errorf("problems: %q", problems)
	}
}

func TestFlagsThatAreUnknown(t *testing.T) {
	_, err := Load(Sources{Dir: clean(t), Flags: map[string]string{"API_KEY": "hush", "NONSENSE": "hush"}})
	if got := problemsOf(t, err); !slices.Equal(got, []string{"there is no flag --api-key", "there is no flag --nonsense"}) {
		t.Errorf("problems: %q", got)
	}
}

func TestYAMLFaults(t *testing.T) {
	rows := []struct{ name, content, want string }{
		{"unknown key", "port: 1\nprot: hush\n", "FILE:2 has an unknown key prot"},
		{"upper case", "PORT: 1\n", "FILE:1 has an unknown key PORT"},
		{"a file variable", "api_key_file: hush\n", "FILE:1 has an unknown key api_key_file"},
		{"odd key", "? [hush]\n: 1\n", "FILE:1 has an unknown key"},
		{"nested", "server:\n  port: 1\n", "FILE:1 has an unknown key server"},
		{"nested value", "port:\n  hush: 1\n", "PORT must be a whole number from 0 to 65535, as one plain value (from FILE:1)"},
		{"a list for a number", "port: [1]\n", "PORT must be a whole number from 0 to 65535, as one plain value (from FILE:1)"},
		{"a nested list", "cors_origins: [[https://a.example]]\n", "CORS_ORIGINS must be"},
		{"a comma inside an item", "cors_origins: ['https://a.example,https://hush']\n", "CORS_ORIGINS must be"},
		{"no value", "api_key:\n", "API_KEY must be a text, as one plain value (from FILE:1)"},
		{"binary", "api_key: !!binary aHVzaA==\n", "API_KEY must be a text, as one plain value (from FILE:1)"},
		{"alias", "api_key: &a hush\njwt_secret_key: *a\n", "JWT_SECRET_KEY must be a text, as one plain value (from FILE:2)"},
		{"twice", "port: 1\nport: 2\n", "FILE:2 sets port a second time"},
		{"APP_ENV", "app_env: production\n", "FILE:1 sets app_env, which a YAML file cannot set: set APP_ENV in the environment or use --app-env"},
		{"CONFIG_FILE", "config_file: x\n", "FILE:1 sets config_file, which a YAML file cannot set"},
		{"no mapping", "- port\n", "FILE:1 must be a list of lines like port: 8000"},
		{"only a text", "hush\n", "FILE:1 must be a list of lines like port: 8000"},
		{"two documents", "port: 1\n---\nport: 2\n", "FILE must hold one YAML document"},
		{"a bad second document", "port: 1\n---\n{hush\n", "FILE must hold one YAML document"},
		{"no YAML", "port: 1\napi_key: 'hush\n", "FILE:"},
		{"unknown alias", "api_key: *hush\n", "FILE is not valid YAML"},
		{"a tab", "port: 1\n\tapi_key: hush\n", "FILE:"},
		{"not UTF-8", "api_key: \xff\xfehush\n", "FILE is not valid YAML"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := clean(t)
			path := write(t, dir, "x.yaml", row.content)
			_, err := Load(Sources{Dir: dir, Flags: map[string]string{"CONFIG_FILE": path}})
			problems := problemsOf(t, err)
			if len(problems) != 1 || !strings.HasPrefix(problems[0], strings.ReplaceAll(row.want, "FILE:", path+":")) &&
				!strings.HasPrefix(problems[0], strings.ReplaceAll(row.want, "FILE ", path+" ")) &&
				!strings.HasPrefix(strings.ReplaceAll(problems[0], path, "FILE"), row.want) {
				t.Fatalf("problems %q, want %q", problems, row.want)
			}
			if strings.Contains(problems[0], "hush") {
				t.Errorf("a value stands in %q", problems[0])
			}
		})
	}
}
