package integration

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkFullDisk: while the disk of the store is full,
//   - keys can be revoked, over HTTP and on the command line, and a confirmed revocation survives a kill
//   - other keys work
//
// Everything works again when there is room.
func checkFullDisk(t *testing.T, bin string) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skip("this process may not mount: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := harness.FreshSecrets()
	settings := map[string]string{"ACCESS_LOG": "false"}
	p := harness.StartProcessIn(t, bin, dir, s, settings)
	p.Admin = harness.ParseKey(t, strings.TrimSpace(p.MustRun(t, "keys", "create", "--client", "operations", "--scope", "keys:admin")), s.Audience)
	leaked := map[string]string{} // a token by the id of its key
	other, _ := p.IssueKey(t, harness.Body{"scopes": []string{"accounts:read"}})
	for range 8 {
		key, _ := p.IssueKey(t, harness.Body{"scopes": []string{"accounts:read"}})
		leaked[key.ID] = key.Token()
	}
	harness.Eventually(t, harness.StartTimeout, "the reserve is there", func() bool {
		info, err := os.Stat(filepath.Join(dir, "latchkey.db-reserve"))
		return err == nil && info.Size() == 1<<20
	})
	if full := harness.SumMetric(p.OpsPage(t, "/metrics"), "latchkey_store_disk_full"); full != 0 {
		t.Errorf("latchkey_store_disk_full is %v while there is room", full)
	}

	filler := filepath.Join(dir, "filler")
	fillDisk(t, filler)
	register := func() harness.Answer {
		t.Helper()
		c := harness.Post("/service/account/register", harness.Body{"username": harness.FreshName(), "avatar_url": "https://example.com/" + strings.Repeat("x", 1000)}.JSON())
		c.Token, c.Unready = s.Shared().Token(), true
		return p.Do(t, c)
	}
	refused := func() (a harness.Answer) {
		t.Helper()
		for range 20_000 { // the log of SQLite was longer before, and has room inside
			if a = register(); a.Status != http.StatusCreated {
				return a
			}
		}
		return a
	}
	a := refused()
	a.Is(t, http.StatusServiceUnavailable, `{"detail":"Service Unavailable"}`)
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}

	revoked := 0
	for id, token := range leaked {
		if status := p.WhoamiStatus(t, token); status != http.StatusOK {
			t.Fatalf("before it is revoked: %d", status)
		}
		if revoked%2 == 0 {
			a := p.AsAdmin(t, http.MethodPost, "/service/keys/"+id+"/revoke?wait=true", "")
			a.Is(t, http.StatusOK, "")
			if !strings.Contains(a.Body, `"late":[]`) || !strings.Contains(a.Body, `"instance"`) {
				t.Errorf("the revocation is not confirmed: %s", a.Body)
			}
			if status := p.WhoamiStatus(t, token); status != http.StatusUnauthorized {
				t.Errorf("the next request of a revoked key: %d", status)
			}
		} else {
			if _, stderr, code := p.CLI(t, "keys", "revoke", id, "--wait"); code != 0 || strings.Contains(stderr, "full") {
				t.Errorf("keys revoke: %d, %s", code, stderr)
			}
			harness.Eventually(t, harness.StartTimeout, "the server refuses what the command line revoked", func() bool {
				return p.WhoamiStatus(t, token) == http.StatusUnauthorized
			})
		}
		revoked++
		if status := p.WhoamiStatus(t, other.Token()); status != http.StatusOK {
			t.Errorf("another key: %d", status)
		}
	}
	p.Do(t, harness.Call{Path: "/readyz"}).Is(t, http.StatusOK, "")
	p.Do(t, harness.Call{Path: "/service/account/stevenm", Token: s.Shared().Token()}).Is(t, http.StatusOK, "")
	if full := harness.SumMetric(p.OpsPage(t, "/metrics"), "latchkey_store_disk_full"); full != 1 {
		t.Errorf("latchkey_store_disk_full is %v", full)
	}
	harness.Eventually(t, harness.StartTimeout, "a line says that the disk is full", func() bool {
		return strings.Contains(p.Log(t), `"level":"ERROR","msg":"the disk of the store is full`)
	})

	// A kill, and a start while the disk is full.
	if err := p.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Exited
	if err := os.Truncate(filepath.Join(dir, "latchkey.db-reserve"), 1<<19); err != nil { // as after longer use
		t.Fatal(err)
	}
	fillDisk(t, filler)
	p = harness.StartProcessIn(t, bin, dir, s, settings)
	for id, token := range leaked {
		if status := p.WhoamiStatus(t, token); status != http.StatusUnauthorized {
			t.Errorf("%s was revoked, and after a kill: %d", id, status)
		}
	}
	if status := p.WhoamiStatus(t, other.Token()); status != http.StatusOK {
		t.Errorf("another key: %d", status)
	}

	refused().Is(t, http.StatusServiceUnavailable, "")
	harness.Eventually(t, harness.StartTimeout, "the metric is 1 again", func() bool {
		return harness.SumMetric(p.OpsPage(t, "/metrics"), "latchkey_store_disk_full") == 1
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.StartTimeout, "accounts are made again", func() bool { return register().Status == http.StatusCreated })
	harness.Eventually(t, harness.StartTimeout, "the metric is 0 again", func() bool {
		return harness.SumMetric(p.OpsPage(t, "/metrics"), "latchkey_store_disk_full") == 0
	})
	harness.Eventually(t, harness.StartTimeout, "a line says that there is room again", func() bool {
		return strings.Contains(p.Log(t), "there is room on the disk of the store again")
	})
	if code := p.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// fillDisk writes until the disk is full.
func fillDisk(t *testing.T, name string) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
