package integration

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// restorable is what a store had at the backup, and what changed after it.
type restorable struct {
	early, late   harness.Account
	revoked, made harness.Key
}

func newKey(t *testing.T, tg *harness.Target) harness.Key {
	t.Helper()
	return harness.ParseKey(t, strings.TrimSpace(tg.MustRun(t, "keys", "create", "--client", "acme", "--scope", "accounts:read")), "latchkey-api")
}

// beforeBackup creates an account and a key.
func (r *restorable) beforeBackup(t *testing.T, tg *harness.Target) {
	t.Helper()
	r.early, r.revoked = tg.Register(t, harness.Account{Username: harness.FreshName()}), newKey(t, tg)
	tg.Do(t, harness.Call{Path: "/service/whoami", Token: r.revoked.Token()}).Is(t, http.StatusOK, "")
}

func (r *restorable) afterBackup(t *testing.T, tg *harness.Target) {
	t.Helper()
	r.late, r.made = tg.Register(t, harness.Account{Username: harness.FreshName()}), newKey(t, tg)
	tg.MustRun(t, "keys", "revoke", "--wait", r.revoked.ID)
}

// isRestored demands the accounts of the backup. The keys must be those of the replaced store or, with revived, of the backup.
func (r *restorable) isRestored(t *testing.T, tg *harness.Target, revived bool) {
	t.Helper()
	status := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}
	tg.Do(t, harness.Call{Path: "/service/account/" + r.early.Username, Token: tg.Secrets.Token()}).Is(t, http.StatusOK, "")
	tg.Do(t, harness.Call{Path: "/service/account/" + r.late.Username, Token: tg.Secrets.Token()}).Is(t, http.StatusNotFound, "")
	tg.Do(t, harness.Call{Path: "/service/whoami", Token: r.revoked.Token()}).Is(t, status[revived], "")
	tg.Do(t, harness.Call{Path: "/service/whoami", Token: r.made.Token()}).Is(t, status[!revived], "")
	var rows []struct{ Actor, Action, Address string }
	tg.MustRunJSON(t, &rows, "keys", "audit", "--json")
	want := map[bool]string{true: "revive", false: "restore"}[revived]
	if last := rows[len(rows)-1]; last.Actor != "cli" || last.Action != want || last.Address == "" {
		t.Errorf("the audit ends with %+v, want %s", last, want)
	}
}

// checkRestore: a server is killed, a backup is restored, and the server starts again.
func checkRestore(t *testing.T, bin string) {
	dir, s := t.TempDir(), harness.FreshSecrets()
	store, backup := filepath.Join(dir, "latchkey.db"), filepath.Join(t.TempDir(), "backup.db")
	p := harness.StartProcessIn(t, bin, dir, s, nil)
	var r restorable
	r.beforeBackup(t, &p.Target)
	p.MustRun(t, "backup", backup)
	copied, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if piped := p.MustRun(t, "backup", "-"); !strings.HasPrefix(piped, "SQLite format 3\x00") || piped[18:20] != "\x01\x01" {
		t.Errorf("a backup on standard output begins with %q", piped[:min(len(piped), 100)])
	}
	r.afterBackup(t, &p.Target)

	refuses := func(what string, args ...string) {
		t.Helper()
		stdout, stderr, code := p.CLI(t, append([]string{"restore"}, args...)...)
		if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "latchkey: ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, what) {
			t.Errorf("restore %q: exit code %d, %q, want 1 and %q", args, code, stderr, what)
		}
	}
	refuses("is in use: stop the server", backup)
	refuses("is in use: stop the server", "--revive", backup)
	p.Do(t, harness.Call{Path: "/service/account/" + r.late.Username, Token: s.Token()}).Is(t, http.StatusOK, "")
	p.Kill(t)

	bad := filepath.Join(t.TempDir(), "bad.db")
	for what, content := range map[string]string{
		"is empty": "", "is damaged": string(copied[:len(copied)-1]), "is no SQLite database": strings.Repeat("text\n", 2000),
	} {
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(what, bad)
		refuses(what, "--revive", bad)
	}
	refuses("is a folder", dir)
	refuses("is the store itself", store)
	refuses("cannot be read", filepath.Join(dir, "no such file"))
	refuses("is empty", "-") // standard input is at its end
	refuses("of another environment", "--app-env=development", "--database-url=sqlite:"+filepath.Join(t.TempDir(), "other.db"), "--revive", backup)
	refuses("pg_restore", "--database-url=postgres://user@localhost/name", backup)
	for _, args := range [][]string{{"restore"}, {"restore", backup, backup}} {
		if _, _, code := p.CLI(t, args...); code != 2 {
			t.Errorf("%q: exit code %d, want 2", args, code)
		}
	}

	p.MustRun(t, "restore", backup)
	left := slices.Sorted(maps.Keys(harness.ReadFolder(t, dir)))
	if !slices.Equal(left, []string{"latchkey.db", "latchkey.db-incarnation", "latchkey.db-reserve"}) {
		t.Errorf("the folder of the store has %v", left)
	}
	p = harness.StartProcessIn(t, bin, dir, s, nil)
	r.isRestored(t, &p.Target, false)
	p.Kill(t)

	for name, spoil := range map[string]func() error{
		"does not belong to the log": func() error { return os.WriteFile(store, copied, 0o600) },
		"is damaged":                 func() error { return os.WriteFile(store, []byte(strings.Repeat("text\n", 2000)), 0o600) },
		"there is no store at":       func() error { return os.Remove(store) },
	} {
		if name != "does not belong to the log" {
			if err := os.Remove(store + "-wal"); err != nil {
				t.Fatal(err)
			}
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		refuses("--revive", backup)
		refuses(name, backup)
		_, stderr, code := p.CLI(t, "restore", "--revive", backup)
		if code != 0 || !strings.Contains(stderr, "  "+r.revoked.ID+" for acme") || strings.Contains(stderr, r.made.ID) {
			t.Errorf("restore --revive: exit code %d, %s", code, stderr)
		}
		p = harness.StartProcessIn(t, bin, dir, s, nil)
		r.isRestored(t, &p.Target, true)
		p.Kill(t)
	}
}

// checkRestoreInContainer does what docs/operators.md says, in a shell, to a container that was killed.
func checkRestoreInContainer(t *testing.T, image string) {
	for _, tool := range []string{"sh", "docker"} {
		if _, err := exec.LookPath(tool); err != nil {
			harness.Unavailable(t, "the restore of docs/operators.md was not tried: %v", err)
		}
	}
	script := harness.CodeBlock(t, "docs/operators.md", "restore", "sh")
	volume := "latchkey-" + harness.FreshName()
	c := harness.StartContainerWith(t, image, harness.FreshSecrets(), harness.ContainerSpec{Host: harness.MountVolume(volume, nil), Volume: volume})
	id := c.GetContainerID()
	named := strings.NewReplacer("exec latchkey ", "exec "+id+" ", "stop latchkey", "stop "+id, "start latchkey", "start "+id,
		"-v latchkey-data:/data latchkey", "-v "+volume+":/data "+image)
	dir := t.TempDir()
	shell := func(script string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), "sh", "-euc", named.Replace(script))
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	var r restorable
	r.beforeBackup(t, &c.Target)
	backup, rest, _ := strings.Cut(script, "\n")
	shell(backup)
	r.afterBackup(t, &c.Target)
	shell(fmt.Sprintf("docker kill %s", id))
	shell(rest)
	endpoint, err := c.PortEndpoint(t.Context(), "8000/tcp", "http")
	if err != nil {
		t.Fatal(err)
	}
	c.URL = endpoint
	harness.Eventually(t, harness.StartTimeout, "/readyz answers 200", func() bool {
		a, err := c.Try(t, harness.Call{Path: "/readyz", Unready: true})
		return err == nil && a.Status == http.StatusOK
	})
	r.isRestored(t, &c.Target, false)
}
