package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// smallDisk is a file system of so many MiB.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	folder := t.TempDir()
	if os.Getenv("STORE_TEST_DISK") == "ext4" {
		image := filepath.Join(t.TempDir(), "disk")
		script := fmt.Sprintf("truncate -s %dM %s && mkfs.ext4 -q %s && mount -o loop %s %s", size, image, image, image, folder)
		if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
			t.Fatal(err, string(out))
		}
	} else if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Skip("this process may not mount: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// fill takes all free space of a disk; free releases it.
func fill(t *testing.T, folder string) (free func()) {
	t.Helper()
	name := filepath.Join(folder, "filler")
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
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// fullLog is what the store says of its disk, one word a line.
type fullLog struct {
	slog.Handler

	mu    sync.Mutex
	lines []string
}

func (l *fullLog) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Level.String()+" "+r.Message)
	return nil
}

// count is the number of lines that begin with text.
func (l *fullLog) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.HasPrefix(line, text) {
			n++
		}
	}
	return n
}

// serveAt opens the store of a file as a server does.
func serveAt(t *testing.T, file string) (*store.Store, *fullLog) {
	t.Helper()
	log := &fullLog{Handler: slog.DiscardHandler}
	o := options(file)
	o.Serving, o.Logger = true, slog.New(log)
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, log
}

func (l *fullLog) Enabled(context.Context, slog.Level) bool { return true }

func beat(t *testing.T, s *store.Store) error {
	t.Helper()
	_, err := s.Heartbeat(t.Context(), "one", 1, time.Minute)
	return err
}

func makeKeys(t *testing.T, s *store.Store, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, fmt.Sprintf("E%03d", i))
		if _, err := s.CreateKey(t.Context(), newKey(ids[i]), keys.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// register creates accounts until the disk is full, and returns that error.
func register(t *testing.T, s *store.Store) error {
	t.Helper()
	for {
		_, err := s.CreateAccount(t.Context(), store.Account{Username: rand.Text(), Email: strings.Repeat("x", 50_000)})
		if err != nil {
			return err
		}
	}
}

func TestReserveLetsKeysBeRevoked(t *testing.T) {
	for _, tt := range []struct {
		name string
		fill func(t *testing.T, s *store.Store, folder string) (free func())
	}{
		{"filled by others", func(t *testing.T, _ *store.Store, folder string) func() { return fill(t, folder) }},
		{"filled by the store", func(t *testing.T, s *store.Store, folder string) func() {
			filler := filepath.Join(folder, "filler")
			write(t, filler, strings.Repeat("x", 5<<19))
			_ = register(t, s)
			return func() {
				if err := os.Remove(filler); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := smallDisk(t, 10)
			file := filepath.Join(folder, "latchkey.db")
			s, log := serveAt(t, file)
			ids := makeKeys(t, s, 200)
			free := tt.fill(t, s, folder)

			if err := register(t, s); fault.CodeOf(err) != fault.Unavailable || !s.DiskFull() {
				t.Fatalf("registering says %v", err)
			}
			if _, err := s.CreateAccount(t.Context(), store.Account{Username: "small"}); fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("what is no change of a key is written: %v", err)
			}
			for _, id := range ids {
				if err := beat(t, s); err != nil {
					t.Fatal(err)
				}
				if _, err := s.ChangeKey(t.Context(), id, keys.Event{Action: keys.ActionRevoke, Target: id}, revoke); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			if n := log.count("ERROR the disk of the store is full"); n != 1 {
				t.Errorf("%d lines say that the disk is full", n)
			}

			free()
			until(t, "there is room again", func() bool { return beat(t, s) == nil && !s.DiskFull() })
			if _, err := s.CreateAccount(t.Context(), store.Account{Username: "small"}); err != nil {
				t.Error(err)
			}
			if n := log.count("INFO there is room on the disk of the store again"); n != 1 {
				t.Errorf("%d lines say that there is room again", n)
			}
			if info, err := os.Stat(file + "-reserve"); err != nil || info.Size() != 1<<20 {
				t.Errorf("the reserve is %v, %v", info, err)
			}
			closeNow(t, s)
			isWhole(t, file, len(ids))
		})
	}
}

// isWhole checks that SQLite finds nothing wrong in a file, and so many revoked keys with as many rows of the audit.
func isWhole(t *testing.T, file string, revoked int) {
	t.Helper()
	var found string
	var inKeys, inAudit int
	err := rawSQLite(t, file).QueryRow(`SELECT (SELECT integrity_check FROM pragma_integrity_check),
		(SELECT count(*) FROM keys WHERE state = 'revoked'), (SELECT count(*) FROM audit WHERE action = 'revoke')`).
		Scan(&found, &inKeys, &inAudit)
	if err != nil || found != "ok" || inKeys != revoked || inAudit != revoked {
		t.Errorf("%q, %d revoked, %d in the audit, %v; want ok and %d", found, inKeys, inAudit, err, revoked)
	}
}

// The program that fills the disk mostly goes on.
func TestReserveIsNotTakenByOtherWrites(t *testing.T) {
	folder := smallDisk(t, 10)
	file := filepath.Join(folder, "latchkey.db")
	s, _ := serveAt(t, file)
	ids := makeKeys(t, s, 100)
	stop := make(chan struct{})
	var filling sync.WaitGroup
	filling.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				fill(t, folder)
			}
		}
	})
	defer filling.Wait()
	defer close(stop)
	if err := register(t, s); fault.CodeOf(err) != fault.Unavailable {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := beat(t, s); err != nil {
			t.Error(err)
		}
		if _, err := s.ChangeKey(t.Context(), id, keys.Event{}, revoke); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenOnAFullDisk(t *testing.T) {
	folder := smallDisk(t, 10)
	file := filepath.Join(folder, "latchkey.db")
	s, _ := serveAt(t, file)
	makeKeys(t, s, 2)
	closeNow(t, s) // the log is gone
	free := fill(t, folder)

	reading := options(file)
	reading.Reading = true
	_, err := store.Open(t.Context(), reading)
	isSentence(t, err, file, "there is no room left on its disk")

	// The command line, without a server.
	s = openAt(t, file)
	if _, err := s.ChangeKey(t.Context(), "E000", keys.Event{Action: keys.ActionRevoke}, revoke); err != nil {
		t.Error(err)
	}
	if _, err := s.CreateAccount(t.Context(), store.Account{Username: "small"}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("what is no change of a key is written: %v", err)
	}
	closeNow(t, s)

	fill(t, folder)
	s, log := serveAt(t, file)
	if err := beat(t, s); err != nil || !s.DiskFull() || log.count("ERROR the disk of the store is full") != 1 {
		t.Errorf("a server begins: %v, %q", err, log.lines)
	}
	if _, err := s.ChangeKey(t.Context(), "E001", keys.Event{Action: keys.ActionRevoke}, revoke); err != nil {
		t.Error(err)
	}
	free()
	until(t, "there is room again", func() bool { return beat(t, s) == nil && !s.DiskFull() })
	closeNow(t, s)
	isWhole(t, file, 2)

	fill(t, folder)
	_, err = store.Open(t.Context(), options(filepath.Join(folder, "sub", "new.db")))
	isSentence(t, err, "new.db", "no room left on its disk")
}

func TestBackupOnAFullDiskLeavesNothing(t *testing.T) {
	folder := smallDisk(t, 10)
	file, copied := filepath.Join(folder, "latchkey.db"), filepath.Join(folder, "copy.db")
	s, _ := serveAt(t, file)
	makeKeys(t, s, 1)
	fill(t, folder)
	isSentence(t, store.Backup(t.Context(), options(file), copied), copied, "was not made", "full")
	if _, err := os.Stat(copied); !os.IsNotExist(err) {
		t.Errorf("a part of the copy is there: %v", err)
	}
	if _, err := s.ChangeKey(t.Context(), "E000", keys.Event{}, revoke); err != nil {
		t.Error(err)
	}
}

// While a reader uses the log, it cannot start again, so every write makes it longer.
func TestReserveIsNotTakenByHeartbeats(t *testing.T) {
	folder := smallDisk(t, 10)
	file := filepath.Join(folder, "latchkey.db")
	s, _ := serveAt(t, file)
	ids := makeKeys(t, s, 3)
	reader, err := rawSQLite(t, file).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback() }()
	if err := reader.QueryRow("SELECT count(*) FROM keys").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	fill(t, folder)
	for version := range int64(1000) { // another one each time, or nothing may be written
		if _, err = s.Heartbeat(t.Context(), "one", version, time.Minute); err != nil {
			break
		}
	}
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("heartbeats go on: %v", err)
	}
	for _, id := range ids {
		if _, err := s.ChangeKey(t.Context(), id, keys.Event{}, revoke); err != nil {
			t.Error(err)
		}
	}
}

func TestCloseOnAFullDisk(t *testing.T) {
	folder := smallDisk(t, 10)
	file := filepath.Join(folder, "latchkey.db")
	s := openAt(t, file)
	for range 5 { // what the file lacks is in the log
		if _, err := s.CreateAccount(t.Context(), store.Account{Username: rand.Text(), Email: strings.Repeat("x", 20_000)}); err != nil {
			t.Fatal(err)
		}
	}
	free := fill(t, folder)
	closeNow(t, s)
	free()
	isWhole(t, file, 0)
}

// Without more room, a new reserve would be used up at once.
func TestReserveNeedsRoomForTwo(t *testing.T) {
	folder := smallDisk(t, 10)
	file := filepath.Join(folder, "latchkey.db")
	closeNow(t, openAt(t, file))
	fill(t, folder)
	filler, err := os.Stat(filepath.Join(folder, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(folder, "filler"), filler.Size()-3<<19); err != nil {
		t.Fatal(err)
	}
	s, _ := serveAt(t, file)
	if err := beat(t, s); err != nil || !s.DiskFull() {
		t.Errorf("with room for one and a half: %v, %v", s.DiskFull(), err)
	}
}

// Without a reserve the store works while there is room.
func TestReserveThatCannotBeMade(t *testing.T) {
	file := newFile(t)
	s, log := serveAt(t, file)
	if err := os.MkdirAll(file+"-reserve.new/in/the/way", 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.CreateAccount(t.Context(), store.Account{Username: rand.Text()}); err != nil || s.DiskFull() {
			t.Error(err)
		}
	}
	if log.count("WARN the reserve for a full disk cannot be made") != 1 {
		t.Errorf("the log says %q", log.lines)
	}
}
