package store_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/latchkey-api/latchkey/store"
)

func TestBackupIsAStore(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"copy.db", "what? 100%#.db", "file:copy.db", "quote'.db"} {
		t.Run(name, func(t *testing.T) {
			needsName(t, name)
			// While others write, the copy is of one moment.
			ctx, stop := context.WithCancel(t.Context())
			var wait sync.WaitGroup
			wait.Go(func() {
				for ctx.Err() == nil {
					_, _ = s.CreateStoryspace(ctx, "stevenm", "later")
				}
			})
			t.Chdir(t.TempDir())
			if err := store.Backup(t.Context(), options(file), name); err != nil {
				t.Error(err)
			}
			stop()
			wait.Wait()
			folder, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			copied := openAt(t, filepath.Join(folder, name))
			if err := copied.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			if a, err := copied.AccountByID(t.Context(), "2112"); err != nil || a.Username != "stevenm" {
				t.Errorf("%s has %+v, %v", name, a, err)
			}
			if _, err := copied.CreateAccount(t.Context(), store.Account{Username: "ada"}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBackupOverwritesNothing(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	taken := filepath.Join(t.TempDir(), "taken")
	write(t, taken, "")
	for _, target := range []string{taken, file} {
		isSentence(t, store.Backup(t.Context(), options(file), target), target, "already exists")
	}
	if content, err := os.ReadFile(taken); err != nil || len(content) != 0 {
		t.Errorf("the file has %q, %v", content, err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBackupThatFailsLeavesNoFile(t *testing.T) {
	file, folder := newFile(t), t.TempDir()
	closeNow(t, openAt(t, file))
	openAt(t, file)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	isSentence(t, store.Backup(ctx, options(file), filepath.Join(folder, "canceled")), "context canceled")
	isSentence(t, store.Backup(t.Context(), options(file), filepath.Join(folder, "no", "folder")), filepath.Join(folder, "no", "folder"))

	// The beginning of the file tells what it is: without it there is nothing to copy.
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, file, make([]byte, 100))
	isSentence(t, store.Backup(t.Context(), options(file), filepath.Join(folder, "broken")), filepath.Join(folder, "broken"), "was not made")
	overwrite(t, file, whole[:100])

	moved := file + ".moved"
	if err := os.Rename(file, moved); err != nil {
		t.Skip("this platform does not move open files:", err)
	}
	isSentence(t, store.Backup(t.Context(), options(file), filepath.Join(folder, "gone")), file, "cannot be copied")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("an empty store took the place of the one that is gone: %v", err)
	}
	if err := os.Rename(moved, file); err != nil {
		t.Fatal(err)
	}

	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// overwrite changes the beginning of a file in its place.
func overwrite(t *testing.T, file string, start []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(start, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// stopped is a reader that has had enough.
type stopped struct{}

func (stopped) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestBackupToAWriter(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := names(t, filepath.Dir(file))
	var copied bytes.Buffer
	if err := store.BackupTo(t.Context(), options(file), &copied); err != nil {
		t.Fatal(err)
	}
	isSentence(t, store.BackupTo(t.Context(), options(file), stopped{}), "the backup was not written")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	isSentence(t, store.BackupTo(ctx, options(file), &copied), "context canceled")
	isOne(t, "left", names(t, filepath.Dir(file)), before...)
	isSentence(t, store.BackupTo(t.Context(), options(newFile(t)), &copied), "cannot be copied")
	isSentence(t, store.BackupTo(t.Context(), store.Options{URL: "postgres://db/latchkey"}, &copied), "pg_dump")

	// It says that no log belongs to it.
	if header := copied.Bytes()[18:20]; header[0] != 1 || header[1] != 1 {
		t.Errorf("the backup is in the mode of a log: %v", header)
	}
	other := filepath.Join(t.TempDir(), "copy.db")
	write(t, other, copied.String())
	opened := openAt(t, other)
	if a, err := opened.AccountByID(t.Context(), "2112"); err != nil || a.Username != "stevenm" {
		t.Errorf("the copy has %+v, %v", a, err)
	}
}

func TestBackupRefusesADamagedStore(t *testing.T) {
	file, folder := newFile(t), t.TempDir()
	closeNow(t, openAt(t, file))
	whole := string(read(t, file))
	torn := []byte(whole)
	for i := 8 << 10; i < len(torn); i++ {
		torn[i] = 0xa5
	}
	write(t, file, string(torn))
	isSentence(t, store.Backup(t.Context(), options(file), filepath.Join(folder, "copy.db")), "was not made")
	write(t, file, whole)
	tamper(t, file, breakRule)
	isSentence(t, store.Backup(t.Context(), options(file), filepath.Join(folder, "copy.db")), "was not made", "is damaged (CHECK")
	isOne(t, "left", names(t, folder))
}

func TestBackupThatCannotBeWrittenSaysWhatToDo(t *testing.T) {
	file := newFile(t)
	openAt(t, file)
	folder := t.TempDir()
	isSentence(t, store.Backup(t.Context(), options(file), folder), folder, "is a folder")
	isSentence(t, store.Backup(t.Context(), options(file), filepath.Join(folder, "none", "x.db")), "make its folder first")
}
