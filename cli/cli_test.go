package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/configs"
)

// run runs the command line in the working directory.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), append([]string{"latchkey"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// inEmptyFolder makes an empty folder the working directory.
func inEmptyFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	return dir
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		code   int
		stderr string // part of what it says
	}{
		{"help", []string{"--help"}, 0, ""},
		{"help of a command", []string{"serve", "--help"}, 0, ""},
		{"version", []string{"version"}, 0, ""},
		{"version as a flag", []string{"--version"}, 0, ""},
		{"help as a command", []string{"help"}, 0, ""},
		{"help of a command as a command", []string{"help", "keys", "create"}, 0, ""},
		{"help of no command", []string{"help", "frobnicate"}, 2, "unexpected argument frobnicate"},
		{"health with no port", []string{"health", "--port=0"}, 1, "--port or --url"},
		{"the document needs no configuration", []string{"openapi"}, 0, ""},
		{"a setting as a flag", []string{"config", "--port=9000"}, 0, ""},
		{"no such command", []string{"frobnicate"}, 2, "unexpected argument frobnicate"},
		{"no such flag", []string{"serve", "--prot=1"}, 2, "unknown flag --prot"},
		{"a secret is no flag", []string{"serve", "--api-key=x"}, 2, "unknown flag --api-key"},
		{"a missing argument", []string{"backup"}, 2, `expected "<file>"`},
		{"a bad duration", []string{"token", "--ttl=soon"}, 2, "--ttl"},
		{"token with nothing configured", []string{"token"}, 1, "run latchkey init first"},
		{"a bad value", []string{"serve", "--port=http"}, 1, "PORT"},
		{"a file that is not there", []string{"serve", "--config-file=no.yaml"}, 1, "CONFIG_FILE"},
		{"another engine", []string{"migrate", "--database-url=mysql://x"}, 1, "DATABASE_URL"},
		{"nobody to ask", []string{"health", "--url=http://127.0.0.1:1/readyz"}, 1, "nobody answers at http://127.0.0.1:1/readyz: is the server running, and on this port?"},
		{"what is no server of HTTP", []string{"health", "--url=ftp://127.0.0.1/"}, 1, "ftp://127.0.0.1/ cannot be asked: unsupported"},
		{"init is for development", []string{"init", "--app-env=production"}, 1, "production"},
		{"production with nothing set", []string{"serve", "--app-env=production"}, 1, "API_KEY"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := inEmptyFolder(t)
			code, stdout, stderr := run(t, tt.args...)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit code %d, want %d; it says %q, want %q", code, tt.code, stderr, tt.stderr)
			}
			if code != 0 && (stdout != "" && tt.args[0] != "config" || stderr == "") {
				t.Errorf("a failure printed %q and said %q", stdout, stderr)
			}
			left, _ := os.ReadDir(dir)
			if len(left) != 0 {
				t.Errorf("it left %v behind", left)
			}
		})
	}
}

func TestInitMakesTokensPossible(t *testing.T) {
	dir := inEmptyFolder(t)
	code, _, stderr := run(t, "init")
	if code != 0 || !strings.Contains(stderr, "Wrote .env") {
		t.Fatalf("init: %d %s", code, stderr)
	}
	info, err := os.Stat(filepath.Join(dir, ".env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf(".env: %v %v", info, err)
	}
	code, first, stderr := run(t, "token")
	if code != 0 || strings.Count(first, ".") != 2 {
		t.Errorf("token: %d %q %s", code, first, stderr)
	}
	before, _ := os.ReadFile(filepath.Join(dir, ".env"))
	if code, _, stderr := run(t, "init"); code != 0 || !strings.Contains(stderr, "already") {
		t.Errorf("init again: %d %s", code, stderr)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, ".env")); !bytes.Equal(before, after) {
		t.Error("init changed a .env that was there")
	}
	for _, ttl := range []string{"1ms", "61m", "-5m"} {
		if code, _, stderr := run(t, "token", "--ttl="+ttl); code != 1 || !strings.Contains(stderr, "--ttl") {
			t.Errorf("--ttl %s: %d %s", ttl, code, stderr)
		}
	}
}

func TestConfigFaultsAreOneLineEach(t *testing.T) {
	inEmptyFolder(t)
	for name, value := range map[string]string{
		"PORT": "SECRET-MARKER", "JWT_LEEWAY": "SECRET-MARKER", "JWT_ALGORITHM": "SECRET-MARKER",
		"MASTER_KEY": "SECRET-MARKER", "JWT_SECRET_KEY": "SECRET-MARKER",
	} {
		t.Setenv(name, value)
	}
	for _, command := range []string{"config", "serve"} {
		code, stdout, stderr := run(t, command)
		if command == "config" && !strings.Contains(stdout, "JWT_AUDIENCE") {
			t.Errorf("config is silent when it is needed:\n%s", stdout)
		}
		if code != 1 || strings.Count(stderr, "\n") != 5 {
			t.Errorf("%s: exit code %d, said\n%s", command, code, stderr)
		}
		for _, name := range []string{"PORT", "JWT_LEEWAY", "JWT_ALGORITHM", "MASTER_KEY", "JWT_SECRET_KEY"} {
			if !strings.Contains(stderr, name) {
				t.Errorf("%s says nothing of %s", command, name)
			}
		}
		if strings.Contains(stdout+stderr, "SECRET-MARKER") {
			t.Errorf("%s prints the value of a faulty setting:\n%s%s", command, stdout, stderr)
		}
	}
}

func TestConfigShowsEverySettingAndNoSecret(t *testing.T) {
	inEmptyFolder(t)
	t.Setenv("API_KEY", "SECRET-MARKER-1")
	t.Setenv("JWT_SECRET_KEY", "SECRET-MARKER-2")
	t.Setenv("LOG_LEVEL", "debug")
	code, table, _ := run(t, "config", "--port=9000")
	if code != 0 || strings.Contains(table, "SECRET-MARKER") {
		t.Fatalf("exit code %d\n%s", code, table)
	}
	code, text, _ := run(t, "config", "--json", "--port=9000")
	if code != 0 || strings.Contains(text, "SECRET-MARKER") {
		t.Fatalf("exit code %d\n%s", code, text)
	}
	var settings []configs.Setting
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		t.Fatal(err)
	}
	layers := map[string]string{}
	for _, s := range settings {
		layers[s.Name] = s.Layer
		if !strings.Contains(table, s.Name) {
			t.Errorf("the table lacks %s", s.Name)
		}
	}
	for _, s := range configs.Names() {
		if layers[s.Name] == "" {
			t.Errorf("%s has no layer", s.Name)
		}
	}
	for name, want := range map[string]string{
		"PORT": "flag --port", "LOG_LEVEL": "environment LOG_LEVEL", "API_KEY": "environment API_KEY", "JWT_TTL": "default",
	} {
		if layers[name] != want {
			t.Errorf("%s comes from %q, want %q", name, layers[name], want)
		}
	}
}

func TestMigrateAndBackup(t *testing.T) {
	dir := inEmptyFolder(t)
	if code, _, stderr := run(t, "migrate"); code != 0 || !strings.Contains(stderr, "Applied") {
		t.Errorf("migrate: %d %s", code, stderr)
	}
	if code, _, stderr := run(t, "migrate"); code != 0 || !strings.Contains(stderr, "up to date") {
		t.Errorf("migrate again: %d %s", code, stderr)
	}
	copied := filepath.Join(dir, "copy.db")
	if code, _, stderr := run(t, "backup", copied, "--database-url=sqlite:elsewhere/latchkey.db"); code != 1 || !strings.Contains(stderr, "cannot be copied") {
		t.Errorf("backup of a store that is not there: %d %s", code, stderr)
	}
	if _, err := os.Stat("elsewhere"); err == nil {
		t.Error("backup made a store")
	}
	if code, _, stderr := run(t, "backup", copied); code != 0 {
		t.Errorf("backup: %d %s", code, stderr)
	}
	if code, _, stderr := run(t, "backup", copied); code != 1 || !strings.Contains(stderr, copied) {
		t.Errorf("backup over a file: %d %s", code, stderr)
	}
	if code, _, stderr := run(t, "migrate", "--database-url=sqlite:"+copied); code != 0 || !strings.Contains(stderr, "up to date") {
		t.Errorf("the copy: %d %s", code, stderr)
	}
	t.Setenv("API_KEY", "a-key-of-our-own")
	t.Setenv("JWT_SECRET_KEY", strings.Repeat("s", 32))
	code, _, stderr := run(t, "serve", "--app-env=production", "--database-url=sqlite:"+copied, "--port=0", "--ops-addr=")
	if code != 1 || !strings.Contains(stderr, "development") {
		t.Errorf("production on a store of development: %d %s", code, stderr)
	}
}

func TestStoreIsNotCreatedByCommandsThatNeedOne(t *testing.T) {
	dir := inEmptyFolder(t)
	const id = "E0123456789A"
	for _, args := range [][]string{
		{"keys", "list"},
		{"keys", "show", id},
		{"keys", "audit"},
		{"keys", "rotate", id},
		{"keys", "enable", id},
		{"keys", "disable", id},
		{"keys", "revoke", id},
		{"keys", "revoke", "--wait", id},
		{"keys", "rewrap"},
		{"backup", "copy.db"},
	} {
		code, stdout, stderr := run(t, args...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "latchkey: there is no store at "+filepath.Join(dir, "data", "latchkey.db")) &&
			!strings.Contains(stderr, "latchkey: the store "+filepath.Join(dir, "data", "latchkey.db")+" cannot be copied") {
			t.Errorf("%v: %d %q %q", args, code, stdout, stderr)
		}
	}
	if code, _, stderr := run(t, "config"); code != 0 {
		t.Errorf("config needs no store: %d %s", code, stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("they made %v, %v", left, err)
	}
}

// startServer starts serve in the working directory. stop ends it and returns its exit code and what it said.
func startServer(t *testing.T) (url string, stop func() (code int, stderr string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		code := Main(ctx, []string{"latchkey", "--port=0", "--ops-addr=", "--log-format=json"}, writer, &stderr)
		_ = writer.Close()
		ended <- code
	}()
	var first struct{ Msg, URL string }
	if err := json.NewDecoder(reader).Decode(&first); err != nil || first.URL == "" {
		cancel()
		t.Fatalf("the first log line has no url: %+v %v", first, err)
	}
	return first.URL, func() (int, string) {
		cancel()
		return <-ended, stderr.String()
	}
}

func TestServeWritesSecretsAtTheFirstStart(t *testing.T) {
	dir := inEmptyFolder(t)
	url, stop := startServer(t)
	if code, out, errs := run(t, "health", "--url="+url+"/readyz"); code != 0 {
		t.Errorf("health: %d %s %s", code, out, errs)
	}
	code, said := stop()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(said, "Wrote .env") || !strings.Contains(said, `curl -H "Authorization: Bearer $(latchkey token)" `+url) {
		t.Errorf("it said:\n%s", said)
	}
	if _, err := os.Stat(filepath.Join(dir, ".env")); err != nil {
		t.Error(err)
	}
	if code, _, errs := run(t, "health", "--url="+url+"/readyz"); code != 1 {
		t.Errorf("health of a stopped server: %d %s", code, errs)
	}
}

// TestDotenvWithoutKeys: a .env that is there is the operator's. Nothing is written to it, and every command says what
// is missing.
func TestDotenvWithoutKeys(t *testing.T) {
	for _, content := range []string{"JWT_LEEWAY=10s\n", "API_KEY=\nJWT_SECRET_KEY=\n", ""} {
		t.Run(content, func(t *testing.T) {
			dir := inEmptyFolder(t)
			path := filepath.Join(dir, ".env")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			says := func(command, want string, code int, said string, wantCode int) {
				t.Helper()
				if code != wantCode || !strings.Contains(said, want) || strings.Contains(said, "Wrote") || strings.Contains(said, "curl") {
					t.Errorf("%s: exit code %d, says %q, want %q", command, code, said, want)
				}
			}
			code, _, said := run(t, "token")
			says("token", "neither API_KEY nor JWT_SECRET_KEY is set: run latchkey init first", code, said, 1)
			code, _, said = run(t, "init")
			says("init", "There is a .env already; it was left as it is. If it names no API_KEY and JWT_SECRET_KEY, add them, or remove it and run init again.", code, said, 0)
			_, stop := startServer(t)
			code, said = stop()
			says("serve", "API_KEY and JWT_SECRET_KEY are not set: only registered keys can authenticate (latchkey keys create).", code, said, 0)
			if after, err := os.ReadFile(path); err != nil || string(after) != content {
				t.Errorf(".env is now %q: %v", after, err)
			}
		})
	}
}

func TestDotenvWithHalfOfTheSharedKey(t *testing.T) {
	for given, missing := range map[string]string{"API_KEY": "JWT_SECRET_KEY", "JWT_SECRET_KEY": "API_KEY"} {
		dir := inEmptyFolder(t)
		if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(given+"="+strings.Repeat("s", 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for command, want := range map[string]string{
			"serve": given + " is set without " + missing + ": set both, or neither",
			"token": missing + " is not set",
		} {
			if code, stdout, stderr := run(t, command); code != 1 || stdout != "" || !strings.Contains(stderr, want) {
				t.Errorf("%s with %s alone: %d %q, says %q", command, given, code, stdout, stderr)
			}
		}
	}
}

func TestCalledAs(t *testing.T) {
	for program, want := range map[string]string{
		"/tmp/go-build123/b001/exe/latchkey": "go run .",
		"./latchkey":                         "./latchkey",
		"latchkey":                           "latchkey",
	} {
		if got := calledAs(program); got != want {
			t.Errorf("%s: %s", program, got)
		}
	}
}
