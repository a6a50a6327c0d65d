//go:build unix

package store_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// become makes this process another user's, for good.
func become(uid string) error {
	if uid == "" {
		return nil
	}
	id, err := strconv.Atoi(uid)
	if err != nil {
		return err
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(id); err != nil {
		return err
	}
	return syscall.Setuid(id)
}

// A stopped process (SIGSTOP) does not close its connections.
func TestPostgresLocksOfAStoppedProcessEnd(t *testing.T) {
	t.Parallel()
	databaseURL := newDatabase(t)
	s := openURL(t, databaseURL)
	for _, id := range []string{"E1", "E2"} {
		if _, err := s.CreateKey(t.Context(), newKey(id), keys.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	p := startChild(t, "revoke", databaseURL)
	if !p.lines.Scan() || p.lines.Text() != "revoke" {
		t.Fatalf("the child says %q", p.lines.Text())
	}
	if err := p.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "another key is revoked", func() bool {
		_, err := s.ChangeKey(t.Context(), "E2", keys.Event{}, revoke)
		return err == nil
	})
	// When it goes on, its change fails.
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if lines := p.rest(); len(lines) != 1 || !strings.HasPrefix(lines[0], "failed: unavailable") {
		t.Errorf("the child says %q", lines)
	}
	if r, err := s.Key(t.Context(), "E1"); err != nil || r.State != keys.Enabled {
		t.Errorf("the key that it had begun to change is %+v, %v", r, err)
	}
}

func TestFileModeIsTheOwnersOnlyWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o277} {
		folder := filepath.Join(t.TempDir(), "data")
		if umask == 0o277 {
			// Below this umask the owner could not enter a new folder.
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		before := syscall.Umask(umask)
		s := openAt(t, filepath.Join(folder, "latchkey.db"))
		err := s.InsertDemo(t.Context())
		backupErr := store.Backup(t.Context(), options(filepath.Join(folder, "latchkey.db")), filepath.Join(folder, "copy.db"))
		syscall.Umask(before)
		if err != nil || backupErr != nil {
			t.Fatal(err, backupErr)
		}
		hasMode(t, folder, fs.ModeDir|0o700)
		for _, name := range []string{"latchkey.db", "latchkey.db-wal", "latchkey.db-shm", "copy.db"} {
			hasMode(t, filepath.Join(folder, name), 0o600)
		}
	}
}

func TestFileModeOfTheOperatorStays(t *testing.T) {
	file := newFile(t)
	closeNow(t, openAt(t, file))
	mode(t, file, 0o640)
	s := openAt(t, file)
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + "-wal", file + "-shm"} {
		hasMode(t, name, 0o640)
	}
}

func hasMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%s has mode %v, want %v", filepath.Base(path), info.Mode(), want)
	}
}

// own gives a file to another user, where this one may.
func own(t *testing.T, file string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(file, 65532, 65533); err != nil {
		t.Fatal(err)
	}
}

// isLike checks that a file has the mode and the owner of another one.
func isLike(t *testing.T, file string, like fs.FileInfo) {
	t.Helper()
	hasMode(t, file, like.Mode().Perm())
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	got, want := info.Sys().(*syscall.Stat_t), like.Sys().(*syscall.Stat_t)
	if got.Uid != want.Uid || got.Gid != want.Gid {
		t.Errorf("%s belongs to %d:%d, want %d:%d", file, got.Uid, got.Gid, want.Uid, want.Gid)
	}
}

func TestRestoreTakesOwnerAndModeOfTheStore(t *testing.T) {
	file, backup := twoStores(t)
	mode(t, file, 0o640)
	mode(t, backup, 0o444)
	own(t, file)
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	// The link stays one.
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(file, link); err != nil {
		t.Skip(err)
	}
	restored(t, link, backup, false)
	isLike(t, file, before)
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
	isOne(t, "the accounts", texts(t, file, everyAccount), "ada")
	isOne(t, "what is beside the link", names(t, filepath.Dir(link)), "link.db")
}

// Root restores without a store, and another user runs the server.
func TestRestoreWithoutAStoreTakesTheOwnerOfTheFolder(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	_, backup := twoStores(t)
	folder := t.TempDir()
	if err := os.Chown(folder, 65532, 65533); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "latchkey.db")
	restored(t, file, backup, true)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid != 65532 || stat.Gid != 65533 || info.Mode().Perm() != 0o600 {
		t.Errorf("the store has %v and %+v", info.Mode(), stat)
	}
}
