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
)

// restorable is a store that goes on after a backup: one account and one key are in the backup alone as they are there, one
// account and one key came after it.
type restorable struct {
	early, late   account
	revoked, made clientKey
}

func newKey(t *testing.T, tg *target) clientKey {
	t.Helper()
	return readKey(t, strings.TrimSpace(tg.latchkey(t, "keys", "create", "--client", "acme", "--scope", "accounts:read")), "latchkey-api")
}

// beforeBackup and afterBackup make what a restore has to tell apart.
func (r *restorable) beforeBackup(t *testing.T, tg *target) {
	t.Helper()
	r.early, r.revoked = tg.register(t, account{Username: freshName()}), newKey(t, tg)
	tg.do(t, call{path: "/service/whoami", token: r.revoked.token()}).is(t, http.StatusOK, "")
}

func (r *restorable) afterBackup(t *testing.T, tg *target) {
	t.Helper()
	r.late, r.made = tg.register(t, account{Username: freshName()}), newKey(t, tg)
	tg.latchkey(t, "keys", "revoke", "--wait", r.revoked.id)
}

// isRestored demands the accounts of the backup, and the keys of the store that was there or, revived, of the backup.
func (r *restorable) isRestored(t *testing.T, tg *target, revived bool) {
	t.Helper()
	status := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}
	tg.do(t, call{path: "/service/account/" + r.early.Username, token: tg.secrets.token()}).is(t, http.StatusOK, "")
	tg.do(t, call{path: "/service/account/" + r.late.Username, token: tg.secrets.token()}).is(t, http.StatusNotFound, "")
	tg.do(t, call{path: "/service/whoami", token: r.revoked.token()}).is(t, status[revived], "")
	tg.do(t, call{path: "/service/whoami", token: r.made.token()}).is(t, status[!revived], "")
	var rows []struct{ Actor, Action, Address string }
	tg.latchkeyJSON(t, &rows, "keys", "audit", "--json")
	want := map[bool]string{true: "revive", false: "restore"}[revived]
	if last := rows[len(rows)-1]; last.Actor != "cli" || last.Action != want || last.Address == "" {
		t.Errorf("the audit ends with %+v, want %s", last, want)
	}
}

// checkRestore: a server is killed, a backup put back, and the server started.
func checkRestore(t *testing.T, bin string) {
	dir, s := t.TempDir(), freshSecrets()
	store, backup := filepath.Join(dir, "latchkey.db"), filepath.Join(t.TempDir(), "backup.db")
	p := startProcessIn(t, bin, dir, s, nil)
	var r restorable
	r.beforeBackup(t, &p.target)
	p.latchkey(t, "backup", backup)
	copied, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if piped := p.latchkey(t, "backup", "-"); !strings.HasPrefix(piped, "SQLite format 3\x00") || piped[18:20] != "\x01\x01" {
		t.Errorf("a backup on standard output begins with %q", piped[:min(len(piped), 100)])
	}
	r.afterBackup(t, &p.target)

	refuses := func(what string, args ...string) {
		t.Helper()
		stdout, stderr, code := p.cli(t, append([]string{"restore"}, args...)...)
		if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "latchkey: ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, what) {
			t.Errorf("restore %q: exit code %d, %q, want 1 and %q", args, code, stderr, what)
		}
	}
	refuses("is in use: stop the server", backup)
	refuses("is in use: stop the server", "--revive", backup)
	p.do(t, call{path: "/service/account/" + r.late.Username, token: s.token()}).is(t, http.StatusOK, "")
	p.kill(t)

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
		if _, _, code := p.cli(t, args...); code != 2 {
			t.Errorf("%q: exit code %d, want 2", args, code)
		}
	}

	p.latchkey(t, "restore", backup)
	left := slices.Sorted(maps.Keys(contents(t, dir)))
	if !slices.Equal(left, []string{"latchkey.db", "latchkey.db-incarnation", "latchkey.db-reserve"}) {
		t.Errorf("beside the store there are %v", left)
	}
	p = startProcessIn(t, bin, dir, s, nil)
	r.isRestored(t, &p.target, false)
	p.kill(t)

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
		_, stderr, code := p.cli(t, "restore", "--revive", backup)
		if code != 0 || !strings.Contains(stderr, "  "+r.revoked.id+" for acme") || strings.Contains(stderr, r.made.id) {
			t.Errorf("restore --revive: exit code %d, %s", code, stderr)
		}
		p = startProcessIn(t, bin, dir, s, nil)
		r.isRestored(t, &p.target, true)
		p.kill(t)
	}
}

// checkRestoreInContainer does what docs/operators.md says, in a shell, to a container that was killed.
func checkRestoreInContainer(t *testing.T, image string) {
	for _, tool := range []string{"sh", "docker"} {
		if _, err := exec.LookPath(tool); err != nil {
			unavailable(t, "the restore of docs/operators.md was not tried: %v", err)
		}
	}
	script := codeBlock(t, "docs/operators.md", "restore", "sh")
	volume := "latchkey-" + freshName()
	c := startContainerWith(t, image, freshSecrets(), containerSpec{host: mounted(volume, nil), volume: volume})
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
	r.beforeBackup(t, &c.target)
	backup, rest, _ := strings.Cut(script, "\n")
	shell(backup)
	r.afterBackup(t, &c.target)
	shell(fmt.Sprintf("docker kill %s", id))
	shell(rest)
	endpoint, err := c.PortEndpoint(t.Context(), "8000/tcp", "http")
	if err != nil {
		t.Fatal(err)
	}
	c.url = endpoint
	eventually(t, startLimit, "/readyz answers 200", func() bool {
		a, err := c.try(t, call{path: "/readyz", unready: true})
		return err == nil && a.status == http.StatusOK
	})
	r.isRestored(t, &c.target, false)
}
