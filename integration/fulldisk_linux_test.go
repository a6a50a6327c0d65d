package integration

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// checkFullDisk: when the disk of the store is full, keys are revoked over HTTP and on the command line, other keys go on,
// and what was confirmed survives a kill. Everything works again when there is room.
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
	s := freshSecrets()
	settings := map[string]string{"ACCESS_LOG": "false"}
	p := startProcessIn(t, bin, dir, s, settings)
	p.admin = readKey(t, strings.TrimSpace(p.latchkey(t, "keys", "create", "--client", "operations", "--scope", "keys:admin")), s.audience)
	leaked := map[string]string{} // a token by the id of its key
	other, _ := p.issue(t, request{"scopes": []string{"accounts:read"}})
	for range 8 {
		key, _ := p.issue(t, request{"scopes": []string{"accounts:read"}})
		leaked[key.id] = key.token()
	}
	eventually(t, startLimit, "the reserve is there", func() bool {
		info, err := os.Stat(filepath.Join(dir, "latchkey.db-reserve"))
		return err == nil && info.Size() == 1<<20
	})
	if full := sum(p.opsPage(t, "/metrics"), "latchkey_store_disk_full"); full != 0 {
		t.Errorf("latchkey_store_disk_full is %v while there is room", full)
	}

	filler := filepath.Join(dir, "filler")
	fillDisk(t, filler)
	register := func() answer {
		t.Helper()
		c := post("/service/account/register", request{"username": freshName(), "avatar_url": "https://example.com/" + strings.Repeat("x", 1000)}.json())
		c.token, c.unready = s.shared().token(), true
		return p.do(t, c)
	}
	refused := func() (a answer) {
		t.Helper()
		for range 20_000 { // a log that has been longer has room
			if a = register(); a.status != http.StatusCreated {
				return a
			}
		}
		return a
	}
	a := refused()
	a.is(t, http.StatusServiceUnavailable, `{"detail":"Service Unavailable"}`)
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}

	revoked := 0
	for id, token := range leaked {
		if status := p.whoami(t, token); status != http.StatusOK {
			t.Fatalf("before it is revoked: %d", status)
		}
		if revoked%2 == 0 {
			a := p.administer(t, http.MethodPost, "/service/keys/"+id+"/revoke?wait=true", "")
			a.is(t, http.StatusOK, "")
			if !strings.Contains(a.body, `"late":[]`) || !strings.Contains(a.body, `"instance"`) {
				t.Errorf("the revocation is not confirmed: %s", a.body)
			}
			if status := p.whoami(t, token); status != http.StatusUnauthorized {
				t.Errorf("the next request of a revoked key: %d", status)
			}
		} else {
			if _, stderr, code := p.cli(t, "keys", "revoke", id, "--wait"); code != 0 || strings.Contains(stderr, "full") {
				t.Errorf("keys revoke: %d, %s", code, stderr)
			}
			eventually(t, startLimit, "the server refuses what the command line revoked", func() bool {
				return p.whoami(t, token) == http.StatusUnauthorized
			})
		}
		revoked++
		if status := p.whoami(t, other.token()); status != http.StatusOK {
			t.Errorf("another key: %d", status)
		}
	}
	p.do(t, call{path: "/readyz"}).is(t, http.StatusOK, "")
	p.do(t, call{path: "/service/account/stevenm", token: s.shared().token()}).is(t, http.StatusOK, "")
	if full := sum(p.opsPage(t, "/metrics"), "latchkey_store_disk_full"); full != 1 {
		t.Errorf("latchkey_store_disk_full is %v", full)
	}
	eventually(t, startLimit, "a line says that the disk is full", func() bool {
		return strings.Contains(p.log(t), `"level":"ERROR","msg":"the disk of the store is full`)
	})

	// It is killed, and starts again while the disk is full.
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if err := os.Truncate(filepath.Join(dir, "latchkey.db-reserve"), 1<<19); err != nil { // as longer use leaves it
		t.Fatal(err)
	}
	fillDisk(t, filler)
	p = startProcessIn(t, bin, dir, s, settings)
	for id, token := range leaked {
		if status := p.whoami(t, token); status != http.StatusUnauthorized {
			t.Errorf("%s was revoked, and after a kill: %d", id, status)
		}
	}
	if status := p.whoami(t, other.token()); status != http.StatusOK {
		t.Errorf("another key: %d", status)
	}

	refused().is(t, http.StatusServiceUnavailable, "")
	eventually(t, startLimit, "the metric is 1 again", func() bool {
		return sum(p.opsPage(t, "/metrics"), "latchkey_store_disk_full") == 1
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, startLimit, "accounts are made again", func() bool { return register().status == http.StatusCreated })
	eventually(t, startLimit, "the metric is 0 again", func() bool {
		return sum(p.opsPage(t, "/metrics"), "latchkey_store_disk_full") == 0
	})
	eventually(t, startLimit, "a line says that there is room again", func() bool {
		return strings.Contains(p.log(t), "there is room on the disk of the store again")
	})
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// fillDisk takes all the room that is left.
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
