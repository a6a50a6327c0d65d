package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// buildOlder builds the program as an older version: its level of keys is lower.
func buildOlder(t *testing.T) string {
	t.Helper()
	const known, less = "const Level = 1\n", "const Level = 0\n"
	file, err := filepath.Abs("../keys/level.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Count(string(text), known) != 1 {
		t.Fatalf("%s does not say %q once: %v", file, known, err)
	}
	dir := t.TempDir()
	older, overlay, bin := filepath.Join(dir, "level.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "latchkey.exe")
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {file: older}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{older: strings.Replace(string(text), known, less, 1), overlay: string(replaced)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", bin, ".")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// checkOlderInstance: an older instance answers 503 to keys of a higher level, and can only revoke them.
func checkOlderInstance(t *testing.T, bin string) {
	older := buildOlder(t)
	t.Run("sqlite", func(t *testing.T) {
		dir, s := t.TempDir(), harness.FreshSecrets()
		checkOlderBeside(t, harness.StartProcessIn(t, bin, dir, s, nil), harness.StartProcessIn(t, older, dir, s, nil))
	})
	t.Run("postgres", func(t *testing.T) {
		databaseURL, _ := harness.NewDatabase(t)
		s, settings := harness.FreshSecrets(), map[string]string{"DATABASE_URL": databaseURL}
		checkOlderBeside(t, harness.StartProcessIn(t, bin, t.TempDir(), s, settings), harness.StartProcessIn(t, older, t.TempDir(), s, settings))
	})
	t.Run("in use", func(t *testing.T) { checkLevelRises(t, bin) })
}

func checkOlderBeside(t *testing.T, newer, older *harness.Process) {
	t.Helper()
	newer.Enroll(t)
	tooNew := func(key harness.Key) {
		t.Helper()
		a := older.Do(t, harness.Call{Path: "/service/whoami", Token: key.Token(), Unready: true})
		if a.IsError(t, http.StatusServiceUnavailable); a.Header.Get("Retry-After") == "" {
			t.Errorf("503 with %v, want Retry-After", a.Header)
		}
		harness.Eventually(t, harness.StartTimeout, "the log says why", func() bool {
			return strings.Contains(older.Log(t), "a newer version of latchkey made or changed the key "+key.ID)
		})
	}
	older.Do(t, harness.Call{Path: "/service/whoami", Token: older.Secrets.Token()}).Is(t, http.StatusOK, "")
	for kind, key := range newer.FullKeys {
		tooNew(key)
		tooNew(key)
		for _, args := range [][]string{{"rotate"}, {"disable"}, {"rewrap"}} {
			verb := args[0]
			args = append([]string{"keys"}, args...)
			if verb != "rewrap" {
				args = append(args, key.ID)
			} else if kind != harness.KindHS256 {
				continue
			}
			stdout, stderr, code := older.Run(t, args...)
			if code != 1 || stdout != "" || !strings.Contains(stderr, "a newer version of latchkey") || !strings.Contains(stderr, key.ID) ||
				strings.Contains(stderr, "the store cannot be used") {
				t.Errorf("%s by an older version: exit code %d, %s%s", verb, code, stdout, stderr)
			}
		}
		newer.ExpectAccepted(t, key)
		if shown := older.MustRun(t, "keys", "show", key.ID); !strings.Contains(shown, key.ID) {
			t.Errorf("an older version shows\n%s", shown)
		}
		if listed := older.MustRun(t, "keys", "list"); !strings.Contains(listed, key.ID) {
			t.Errorf("an older version lists\n%s", listed)
		}
		if _, _, code := older.Run(t, "explain", key.Token()); code != 1 {
			t.Errorf("explain by an older version: exit code %d", code)
		}

		token := key.Token()
		older.MustRun(t, "keys", "revoke", key.ID)
		for _, p := range []*harness.Process{newer, older} {
			harness.Eventually(t, harness.StartTimeout, "the revoked key is refused", func() bool { return p.WhoamiStatus(t, token) == http.StatusUnauthorized })
			p.ExpectRefused(t, token)
		}
	}
}

// checkLevelRises: a newer version raises the level of a key while older instances serve it, with and without token cache.
func checkLevelRises(t *testing.T, bin string) {
	databaseURL, db := harness.NewDatabase(t)
	s := harness.FreshSecrets()
	fleet := []*harness.Process{
		harness.StartProcessIn(t, bin, t.TempDir(), s, map[string]string{"DATABASE_URL": databaseURL}),
		harness.StartProcessIn(t, bin, t.TempDir(), s, map[string]string{"DATABASE_URL": databaseURL, "TOKEN_CACHE_SIZE": "0"}),
	}
	fleet[0].Enroll(t)
	key, token := harness.WarmKey(t, fleet)
	rise := func(level int) {
		t.Helper()
		_, err := db.Exec(`WITH moved AS (UPDATE key_version SET value = value + 1 RETURNING value)
			UPDATE keys SET level = $1, version = (SELECT value FROM moved) WHERE id = $2`, level, key.ID)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ level, status int }{{2, http.StatusServiceUnavailable}, {1, http.StatusOK}, {7, http.StatusServiceUnavailable}} {
		rise(step.level)
		for _, p := range fleet {
			harness.Eventually(t, harness.StartTimeout, "the instance has read the change", func() bool { return p.WhoamiStatus(t, token) == step.status })
			for range 20 {
				if status := p.WhoamiStatus(t, token); status != step.status {
					t.Fatalf("level %d: %d, and %d before", step.level, status, step.status)
				}
			}
		}
	}
}
