package app

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/latchkey-api/latchkey/configs"
)

// olderStore copies the store of the first release, made in production, into a folder.
func olderStore(t *testing.T, dir string) (url string) {
	t.Helper()
	content, err := os.ReadFile("../store/testdata/release-1.db")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "latchkey.db")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + file
}

// logged are the messages of a log and the migrations in it.
func logged(t *testing.T, log []byte) (messages, migrations []string) {
	t.Helper()
	for line := range bytes.Lines(log) {
		var said struct {
			Msg        string
			Migrations []string
		}
		if err := json.Unmarshal(line, &said); err != nil {
			t.Fatal(err)
		}
		messages, migrations = append(messages, said.Msg), append(migrations, said.Migrations...)
	}
	return messages, migrations
}

func TestMigrationIsLogged(t *testing.T) {
	config := testConfig(t)
	config.AppEnv, config.DatabaseURL = configs.Production, configs.NewSecret(olderStore(t, t.TempDir()))
	for _, migrated := range []bool{true, false} {
		var log bytes.Buffer
		a := newApp(t, config, &log)
		_, stop, done := running(t, a)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		messages, migrations := logged(t, log.Bytes())
		if messages[0] != "serving" {
			t.Errorf("the first line, in which the addresses are looked for, is %q", messages[0])
		}
		if slices.Contains(migrations, "00008_key_level.sql") != migrated || slices.Contains(migrations, "00001_meta.sql") {
			t.Errorf("migrated %v, and the log names %v", migrated, migrations)
		}
	}
}

// TestMigrationIsLoggedWhenTheStartFails: the next start would not know of it.
func TestMigrationIsLoggedWhenTheStartFails(t *testing.T) {
	nobody := func(config *configs.Config) { config.APIKey = configs.NewSecret("") }
	noPort := func(config *configs.Config) { config.Host = "192.0.2.1" }
	for name, spoil := range map[string]func(*configs.Config){"nobody could authenticate": nobody, "no address": noPort} {
		config := testConfig(t)
		config.AppEnv, config.DatabaseURL = configs.Production, configs.NewSecret(olderStore(t, t.TempDir()))
		spoil(&config)
		var log bytes.Buffer
		a, err := New(t.Context(), config, "test", slog.New(slog.NewJSONHandler(&log, nil)))
		if err == nil {
			err = a.Run(t.Context(), func(string) { t.Errorf("%s: it started", name) })
			if closed := a.Close(); closed != nil {
				t.Error(closed)
			}
		}
		if _, migrations := logged(t, log.Bytes()); err == nil || !slices.Contains(migrations, "00008_key_level.sql") {
			t.Errorf("%s: %v, and the log says %s", name, err, &log)
		}
	}
}
