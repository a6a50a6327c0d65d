package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// replace replaces the open store with another one, in which E1 is revoked.
func replace(t *testing.T, file string) {
	t.Helper()
	other := filepath.Join(filepath.Dir(file), "other.db")
	if err := store.Backup(t.Context(), options(file), other); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), options(other))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeKey(t.Context(), "E1", keys.Event{}, revoke); err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	if err := os.Rename(other, file); err != nil {
		t.Skip("this platform does not move a file over an open one:", err)
	}
}

// every has all methods that read or write.
func every(s *store.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Key": func(ctx context.Context) error { _, err := s.Key(ctx, "E1"); return err },
		"Keys": func(ctx context.Context) error {
			_, _, err := s.Keys(ctx, store.KeyFilter{}, store.Page{Size: 9})
			return err
		},
		"KeysByID":    func(ctx context.Context) error { _, err := s.KeysByID(ctx, []string{"E1"}); return err },
		"KeyChanges":  func(ctx context.Context) error { _, err := s.KeyChanges(ctx, 0, 1000); return err },
		"HasKeys":     func(ctx context.Context) error { _, err := s.HasKeys(ctx); return err },
		"SealedKeys":  func(ctx context.Context) error { _, err := s.SealedKeys(ctx); return err },
		"SealedInUse": func(ctx context.Context) error { _, err := s.SealedInUse(ctx, 1); return err },
		"Audit": func(ctx context.Context) error {
			_, _, err := s.Audit(ctx, store.AuditFilter{}, store.Page{Size: 9})
			return err
		},
		"Instances":   func(ctx context.Context) error { _, err := s.Instances(ctx, time.Minute); return err },
		"AccountByID": func(ctx context.Context) error { _, err := s.AccountByID(ctx, "2112"); return err },
		"Storyspaces": func(ctx context.Context) error {
			_, _, err := s.Storyspaces(ctx, "stevenm", store.Page{Size: 9})
			return err
		},
		"Ready":     s.Ready,
		"CreateKey": func(ctx context.Context) error { _, err := s.CreateKey(ctx, newKey("E2"), keys.Event{}); return err },
		"ChangeKey": func(ctx context.Context) error { _, err := s.ChangeKey(ctx, "E1", keys.Event{}, revoke); return err },
		"RotateKey": func(ctx context.Context) error {
			_, _, err := s.RotateKey(ctx, "E1", keys.Event{}, func(*keys.Record) (keys.Record, error) { return newKey("E3"), nil })
			return err
		},
		"TouchKeys":    func(ctx context.Context) error { return s.TouchKeys(ctx, map[string]time.Time{"E1": time.Now()}) },
		"AppendEvents": func(ctx context.Context) error { return s.AppendEvents(ctx, []keys.Event{{At: time.Now()}}) },
		"PruneEvents":  func(ctx context.Context) error { return s.PruneEvents(ctx, time.Now()) },
		"Heartbeat":    func(ctx context.Context) error { _, err := s.Heartbeat(ctx, "one", 1, time.Minute); return err },
		"Leave":        func(ctx context.Context) error { return s.Leave(ctx, "one") },
		"UpdateShares": func(ctx context.Context) error {
			return s.UpdateShares(ctx, "one", time.Minute, func(map[string]keys.Instance) (string, bool) { return "", false })
		},
		"InsertDemo": s.InsertDemo,
		"CreateAccount": func(ctx context.Context) error {
			_, err := s.CreateAccount(ctx, store.Account{Username: "ada"})
			return err
		},
		"CreateStoryspace": func(ctx context.Context) error { _, err := s.CreateStoryspace(ctx, "stevenm", "x"); return err },
	}
}

func TestReplacedStoreAnswersNothing(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Heartbeat(t.Context(), "one", 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	replace(t, file)
	// Reads may still see the old file for a moment, never the new one.
	until(t, "reads fail", func() bool {
		r, err := s.Key(t.Context(), "E1")
		if err == nil && r.State != keys.Enabled {
			t.Fatal("a connection reads the new file")
		}
		return err != nil
	})
	for name, call := range every(s) {
		isCode(t, name, call(t.Context()), fault.Unavailable)
	}
}

func TestReplacedStoreRefusesEveryWrite(t *testing.T) {
	file := newFile(t)
	s := openAt(t, file)
	if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
		t.Fatal(err)
	}
	// The file disappears during the change.
	_, err := s.ChangeKey(t.Context(), "E1", keys.Event{}, func(r *keys.Record) (bool, error) {
		if err := os.Rename(file, file+".moved"); err != nil {
			t.Skip("this platform does not move open files:", err)
		}
		return revoke(r)
	})
	isCode(t, "a change whose file went away in its middle", err, fault.Unavailable)
}

// Close must not write the log of the old file into the new one, nor remove it: the next start sees by the log that they do not
// belong together.
func TestReplacedStoreIsNotWrittenByClose(t *testing.T) {
	for name, put := range map[string]func(*testing.T, string, []byte){
		"overwritten": overwriteWhole,
		"replaced": func(t *testing.T, file string, content []byte) {
			t.Helper()
			write(t, file+".new", string(content))
			if err := os.Rename(file+".new", file); err != nil {
				t.Skip("this platform does not move a file over an open one:", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			file, backup := newFile(t), filepath.Join(t.TempDir(), "backup.db")
			s, err := store.Open(t.Context(), serving(file))
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Backup(t.Context(), options(file), backup); err != nil {
				t.Fatal(err)
			}
			for i := range 40 { // of which the log is full
				if _, err := s.CreateAccount(t.Context(), store.Account{Username: fmt.Sprint("later-", i)}); err != nil {
					t.Fatal(err)
				}
			}
			put(t, file, read(t, backup))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(read(t, file), read(t, backup)) {
				t.Error("the end of the store wrote into the file that is no longer its own")
			}
			if _, err := store.Open(t.Context(), serving(file)); err == nil {
				t.Error("a start takes the file and the log that is not its own")
			}
		})
	}
}

func TestReplacedStoreOverwrittenInItsPlaceAnswersNothing(t *testing.T) {
	file, backup := newFile(t), filepath.Join(t.TempDir(), "backup.db")
	s, err := store.Open(t.Context(), serving(file))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cold := read(t, file)
	if err := store.Backup(t.Context(), options(file), backup); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(t.Context(), serving(file)) // another server has another incarnation, and changes nothing
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole := read(t, file)
	for name, content := range map[string][]byte{"a backup": read(t, backup), "an older copy": cold, "nothing": nil} {
		overwriteWhole(t, file, content)
		isCode(t, name+": ready", s.Ready(t.Context()), fault.Unavailable)
		_, err := s.Key(t.Context(), "E1")
		isCode(t, name+": read", err, fault.Unavailable)
		_, err = s.CreateAccount(t.Context(), store.Account{Username: "ada"})
		isCode(t, name+": write", err, fault.Unavailable)
		overwriteWhole(t, file, whole)
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// overwriteWhole overwrites the file as cp does: it stays the same file.
func overwriteWhole(t *testing.T, file string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
