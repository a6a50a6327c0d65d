package store_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/latchkey-api/latchkey/store"
)

func TestOpenExplainsAReadOnlyFileSystem(t *testing.T) {
	folder := t.TempDir()
	closeNow(t, openAt(t, filepath.Join(folder, "old.db")))
	if err := syscall.Mount(folder, folder, "", syscall.MS_BIND, ""); err != nil {
		t.Skip("this process may not mount: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("", folder, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skip("this process may not mount: ", err)
	}
	for _, name := range []string{"old.db", "new.db", "sub/new.db"} {
		file := filepath.Join(folder, name)
		_, err := store.Open(t.Context(), options(file))
		isSentence(t, err, file+" cannot be written: read-only file system", "runs as uid", folder+" belongs to uid")
	}
}
