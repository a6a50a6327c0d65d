package configs

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestWarningOfFilesThatOthersCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mode says nothing of others here")
	}
	const dotenv, store = "chmod 600 DIR/.env", "chmod 600 DIR/data/store.db"
	rows := []struct {
		name                 string
		dotenv, store        os.FileMode
		folder               os.FileMode // of the store
		environment, dbURL   string
		wants                []string
		linked, withoutFiles bool
	}{
		{name: "as we make them", dotenv: 0o600, store: 0o600, folder: 0o700},
		{name: "as cp makes them", dotenv: 0o644, store: 0o644, folder: 0o755, wants: []string{dotenv, store}},
		{name: "for a group", dotenv: 0o640, store: 0o660, folder: 0o755},
		{name: "a folder that nobody may enter", dotenv: 0o600, store: 0o644, folder: 0o750},
		{name: "a folder that nobody may list", dotenv: 0o600, store: 0o644, folder: 0o711, wants: []string{store}},
		{name: "others may write only", dotenv: 0o602, store: 0o602, folder: 0o755},
		{name: "a link", dotenv: 0o644, store: 0o600, folder: 0o700, linked: true, wants: []string{dotenv}},
		{name: "production has no .env", dotenv: 0o644, store: 0o644, folder: 0o755, environment: "production", wants: []string{store}},
		{name: "no such store", dotenv: 0o600, store: 0o644, folder: 0o755, dbURL: "sqlite:/absent/x.db"},
		{name: "none is there", withoutFiles: true, folder: 0o755},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := clean(t)
			for folder := dir; folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
				if err := os.Chmod(folder, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if !lets(os.TempDir(), 1) {
				t.Skip("nobody else may enter the folder of temporary files")
			}
			create := func(name string, mode os.FileMode) {
				if row.withoutFiles {
					return
				}
				path := filepath.Join(dir, name)
				if row.linked {
					path += ".target"
					if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			create(".env", row.dotenv)
			create("data/store.db", row.store)
			if err := os.Chmod(filepath.Join(dir, "data"), row.folder); err != nil {
				t.Fatal(err)
			}
			flags := map[string]string{"DATABASE_URL": "sqlite:" + dir + "/data/store.db"}
			if row.dbURL != "" {
				flags["DATABASE_URL"] = row.dbURL
			}
			if row.environment != "" {
				flags["APP_ENV"] = row.environment
			}
			got := mustLoad(t, Sources{Dir: dir, Flags: flags}).Warnings()
			if len(got) != len(row.wants) {
				t.Fatalf("warnings %q, want %q", got, row.wants)
			}
			for i, want := range row.wants {
				if !strings.HasSuffix(got[i], strings.ReplaceAll(want, "DIR", dir)) {
					t.Errorf("warning %q, want %q", got[i], want)
				}
			}
		})
	}
}

func TestWarningOfADatabaseWithoutTLS(t *testing.T) {
	rows := []struct {
		name, url, host string // host is "" for no warning
		env             []string
	}{
		{"another host", "postgres://u:hush@db/n", "db", nil},
		{"the other scheme", "postgresql://u:hush@db.example.org:5432/n?application_name=x", "db.example.org", nil},
		{"an address", "postgres://u:hush@192.0.2.1:5432/n", "192.0.2.1", nil},
		{"an address of IPv6", "postgres://u:hush@[2001:db8::1]/n", "2001:db8::1", nil},
		{"in the query", "postgres:///n?host=db&user=u&password=hush", "db", nil},
		{"the second of two", "postgres://u:hush@localhost:1,db:2/n", "db", nil},
		{"PGHOST", "postgres://u:hush@/n", "db", []string{"PGHOST=db"}},
		{"the URL before PGHOST", "postgres://u:hush@localhost/n", "", []string{"PGHOST=db"}},
		{"an empty sslmode", "postgres://u:hush@db/n?sslmode=", "db", nil},
		{"an empty PGSSLMODE", "postgres://u:hush@db/n", "db", []string{"PGSSLMODE="}},

		{"sslmode", "postgres://u:hush@db/n?sslmode=require", "", nil},
		{"clear is meant", "postgres://u:hush@db/n?sslmode=disable", "", nil},
		{"ssl=true", "postgres://u:hush@db/n?ssl=true", "", nil},
		{"PGSSLMODE", "postgres://u:hush@db/n", "", []string{"PGSSLMODE=verify-full"}},
		{"a service", "postgres://u:hush@db/n?service=x", "", nil},
		{"PGSERVICE", "postgres://u:hush@db/n", "", []string{"PGSERVICE=x"}},
		{"localhost", "postgres://u:hush@LOCALHOST:5432/n", "", nil},
		{"loopback", "postgres://u:hush@127.1.2.3/n", "", nil},
		{"loopback of IPv6", "postgres://u:hush@[::1]:5432/n", "", nil},
		{"a socket", "postgres://u:hush@/n?host=/run/postgresql", "", nil},
		{"no host", "postgres:///n", "", nil},
		{"SQLite", "sqlite:postgres.db", "", nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := clean(t)
			for _, name := range []string{"PGHOST", "PGSSLMODE", "PGSERVICE"} {
				t.Setenv(name, "")
			}
			for _, pair := range row.env {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			t.Setenv("DATABASE_URL", row.url)
			got := mustLoad(t, Sources{Dir: dir}).Warnings()
			if row.host == "" {
				if len(got) != 0 {
					t.Errorf("warnings %q", got)
				}
				return
			}
			if len(got) != 1 || !strings.HasPrefix(got[0], "DATABASE_URL has no sslmode") || !strings.Contains(got[0], " to "+row.host+" can") {
				t.Errorf("warnings %q, want one about %s", got, row.host)
			}
			if slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "hush") }) {
				t.Errorf("the password stands in %q", got)
			}
		})
	}
}
