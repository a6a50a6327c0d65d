package configs

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// The flag of templateHeader: go test ./configs -update.
var update = flag.Bool("update", false, "write .env.template anew")

func TestTemplateFile(t *testing.T) {
	const path = "../.env.template"
	if *update {
		if err := os.WriteFile(path, []byte(Template()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(content) != Template() {
		t.Error(".env.template is not what the table says: go test ./configs -update")
	}
}

func TestTemplateHasEverySetting(t *testing.T) {
	names := Names()
	at := 0
	for _, s := range names {
		line := "\n# " + s.Name + "=" + s.Value + "\n"
		switch s.Name {
		case "API_KEY", "JWT_SECRET_KEY", "MASTER_KEY":
			line = "\n" + s.Name + "="
		}
		i := strings.Index(Template()[at:], "\n# "+s.Description+line)
		if i < 0 {
			t.Fatalf("%s is missing, or not in its place", s.Name)
		}
		at += i
	}
}

// The template works in development as it is, and with every line active.
func TestTemplateLoads(t *testing.T) {
	dir := clean(t)
	write(t, dir, ".env", Template())
	if _, err := LoadAndValidate(Sources{Dir: dir}); err != nil {
		t.Errorf("as it is: %v", err)
	}
	var all strings.Builder
	for line := range strings.Lines(Template()) {
		if rest, ok := strings.CutPrefix(line, "# "); ok && !strings.HasPrefix(rest, "CONFIG_FILE") && assignment.MatchString(strings.TrimSpace(rest)) {
			line = rest
		}
		all.WriteString(line)
	}
	write(t, dir, ".env", all.String())
	l, err := LoadAndValidate(Sources{Dir: dir})
	if err != nil {
		t.Errorf("with every line: %v", err)
	}
	for _, s := range l.Settings {
		if s.Name != nameAppEnv && !strings.HasPrefix(s.Layer, ".env:") {
			t.Errorf("%s comes from %s", s.Name, s.Layer)
		}
	}
}

func TestTemplateIsRefusedInProduction(t *testing.T) {
	dir := clean(t)
	t.Setenv("APP_ENV", "production")
	lines, _ := parseDotenv([]byte(Template()), everyName)
	for _, line := range lines {
		t.Setenv(line.name, line.text)
	}
	_, err := LoadAndValidate(Sources{Dir: dir})
	if got := problemsOf(t, err); len(lines) != 3 || len(got) != 3 {
		t.Errorf("%d placeholders, problems: %q", len(lines), got)
	}
}

func TestBootstrap(t *testing.T) {
	dir := clean(t)
	before := mustLoad(t, Sources{Dir: dir})
	if !NeedsBootstrap(before) {
		t.Fatal("an empty folder in development needs no bootstrap")
	}
	created, err := Bootstrap(dir)
	if err != nil || !created {
		t.Fatalf("Bootstrap: %t, %v", created, err)
	}
	path := filepath.Join(dir, ".env")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := LoadAndValidate(Sources{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if NeedsBootstrap(l) {
		t.Error("a second bootstrap is needed")
	}
	for _, name := range []string{"API_KEY", "JWT_SECRET_KEY", "MASTER_KEY"} {
		if got := l.setting(t, name); !strings.HasPrefix(got.Layer, ".env:") {
			t.Errorf("%s comes from %s", name, got.Layer)
		}
	}

	// The secrets are good enough for production with every algorithm, and no placeholder is left.
	c := l.Config
	c.AppEnv, c.JWTAlgorithm = Production, "HS512"
	if err := c.Validate(); err != nil {
		t.Errorf("fresh secrets: %v", err)
	}

	created, err = Bootstrap(dir)
	if err != nil || created {
		t.Errorf("again: %t, %v", created, err)
	}
	if again, _ := os.ReadFile(path); string(again) != string(content) {
		t.Error("the .env that was there has changed")
	}
	onlyDotenv(t, dir)
}

func onlyDotenv(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != ".env" {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestBootstrapInTheWorkingDirectory(t *testing.T) {
	dir := clean(t)
	t.Chdir(dir)
	if created, err := Bootstrap(""); err != nil || !created {
		t.Fatalf("Bootstrap: %t, %v", created, err)
	}
	onlyDotenv(t, dir)
}

func TestBootstrapByConcurrentStarts(t *testing.T) {
	dir := clean(t)
	const starts = 16
	var created [starts]bool
	var keys [starts]string
	var group sync.WaitGroup
	gate := make(chan struct{})
	for i := range starts {
		group.Go(func() {
			<-gate
			var err error
			if created[i], err = Bootstrap(dir); err != nil {
				t.Error(err)
			}
			l, err := Load(Sources{Dir: dir})
			if err != nil {
				t.Error(err)
			}
			keys[i] = l.Config.APIKey.Reveal() + l.Config.JWTSecretKey.Reveal()
		})
	}
	close(gate)
	group.Wait()
	winners := 0
	for i := range starts {
		if created[i] {
			winners++
		}
		if keys[i] == "" || keys[i] != keys[0] {
			t.Errorf("start %d has secrets of its own", i)
		}
	}
	if winners != 1 {
		t.Errorf("%d starts say that they made the file", winners)
	}
	onlyDotenv(t, dir)
}

func TestBootstrapWhereNothingCanBeWritten(t *testing.T) {
	dir := filepath.Join(clean(t), "absent")
	if created, err := Bootstrap(dir); err == nil || created {
		t.Errorf("Bootstrap: %t, %v", created, err)
	}
	readOnly := t.TempDir()
	if err := os.Chmod(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Create(filepath.Join(readOnly, "probe")); err == nil {
		_ = f.Close()
		t.Skip("this user writes everywhere")
	}
	if created, err := Bootstrap(readOnly); err == nil || created {
		t.Errorf("Bootstrap: %t, %v", created, err)
	}
}

func TestBootstrapIsNeeded(t *testing.T) {
	rows := []struct {
		name string
		env  []string
		file string
		want bool
	}{
		{"nothing", nil, "", true},
		{"other settings", []string{"PORT=1", "MASTER_KEY=", "DATABASE_URL=sqlite:x"}, "", true},
		{"API_KEY", []string{"API_KEY=k"}, "", false},
		{"JWT_SECRET_KEY", []string{"JWT_SECRET_KEY=k"}, "", false},
		{"an empty one", []string{"API_KEY="}, "", false},
		{"one in a file that is absent", []string{"API_KEY_FILE=/absent"}, "", false},
		{"one in CONFIG_FILE", []string{"CONFIG_FILE=CONFIG"}, "", false},
		{"a .env without secrets", nil, "PORT=1\n", false},
		{"an empty .env", nil, "\n", false},
		{"production", []string{"APP_ENV=production"}, "", false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := clean(t)
			for _, pair := range row.env {
				name, value, _ := strings.Cut(pair, "=")
				if value == "CONFIG" {
					value = write(t, dir, "x.yaml", "jwt_secret_key: s\n")
				}
				t.Setenv(name, value)
			}
			if row.file != "" {
				write(t, dir, ".env", row.file)
			}
			l, _ := Load(Sources{Dir: dir})
			if got := NeedsBootstrap(l); got != row.want {
				t.Errorf("NeedsBootstrap is %t", got)
			}
		})
	}
}

func TestSecretsAreFresh(t *testing.T) {
	a, b := FreshSecrets(), FreshSecrets()
	if a.APIKey.Reveal() == b.APIKey.Reveal() || a.JWTSecretKey.Reveal() == b.JWTSecretKey.Reveal() || a.MasterKey.Reveal() == b.MasterKey.Reveal() {
		t.Error("two calls give the same secret")
	}
	c := Config{MasterKey: NewSecret("my own")}
	a.Fill(&c)
	if c.APIKey != a.APIKey || c.JWTSecretKey != a.JWTSecretKey || c.MasterKey.Reveal() != "my own" {
		t.Errorf("Fill gave %+v", c)
	}
}
