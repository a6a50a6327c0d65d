package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/latchkey-api/latchkey/store"
)

// A user who can write in the store's folder must not choose what a start as root overwrites.
func TestOpenFollowsNoLinkBesideTheStore(t *testing.T) {
	for _, suffix := range []string{"-incarnation.new", "-reserve.new"} {
		file, victim := newFile(t), filepath.Join(t.TempDir(), "victim")
		write(t, victim, "mine")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(victim, file+suffix); err != nil {
			t.Skip("this platform makes no links:", err)
		}
		s, err := store.Open(t.Context(), serving(file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Heartbeat(t.Context(), "one", 1, 1<<40); err != nil { // makes the reserve
			t.Fatal(err)
		}
		closeNow(t, s)
		if got := string(read(t, victim)); got != "mine" {
			t.Errorf("%s: the file that a link led to was written to", suffix)
		}
	}
}

// A restore clears the names beside the store that it uses for the new store.
func TestRestoreKeepsABackupWithTheNameOfTheNewStore(t *testing.T) {
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		file, backup := twoStores(t)
		chosen := file + "-restore" + suffix
		write(t, chosen, string(read(t, backup)))
		_, err := restore(t, file, chosen, false)
		isSentence(t, err, chosen, "has a name that the restore itself uses", "the store stays as it was")
		if got := read(t, chosen); string(got) != string(read(t, backup)) {
			t.Errorf("%s: the backup was changed", suffix)
		}
	}
}
