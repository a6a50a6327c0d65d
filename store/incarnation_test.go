package store_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/store"
)

func serving(file string) store.Options {
	o := options(file)
	o.Serving = true
	return o
}

// killedWhileServing leaves a file and its log, as a server does that is killed while it writes.
func killedWhileServing(t *testing.T, file string) (acknowledged []string) {
	t.Helper()
	p := startChild(t, "serve", file)
	for range 20 {
		if !p.lines.Scan() {
			t.Fatal("the child ended by itself")
		}
		acknowledged = append(acknowledged, p.lines.Text())
	}
	kill(t, p)
	acknowledged = append(acknowledged, p.rest()...)
	if info, err := os.Stat(file + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("the killed server left no log: %v", err)
	}
	return acknowledged
}

func kill(t *testing.T, p *process) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// contents are the files of a folder, but for the shared memory, which holds no data.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range found {
		if !strings.HasSuffix(entry.Name(), "-shm") {
			all[entry.Name()] = string(read(t, filepath.Join(folder, entry.Name())))
		}
	}
	return all
}

func TestIncarnationRefusesTheLogOfAnotherStore(t *testing.T) {
	tests := []struct {
		name string
		// copied makes the copy that replaces the store after a server was killed.
		copied func(t *testing.T, file, copied string)
	}{
		{"a backup", func(t *testing.T, file, copied string) {
			if err := store.Backup(t.Context(), options(file), copied); err != nil {
				t.Fatal(err)
			}
		}},
		{"a copy from before the last start", func(t *testing.T, file, copied string) {
			write(t, copied, string(read(t, file)))
		}},
		{"nothing", func(t *testing.T, _, copied string) { write(t, copied, "") }},
		{"no database", func(t *testing.T, _, copied string) { write(t, copied, strings.Repeat("text\n", 2000)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := newFile(t)
			s, err := store.Open(t.Context(), serving(file))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.InsertDemo(t.Context()); err != nil {
				t.Fatal(err)
			}
			closeNow(t, s)
			copied := filepath.Join(t.TempDir(), "copy.db")
			tt.copied(t, file, copied)
			killedWhileServing(t, file)
			write(t, file, string(read(t, copied)))
			before := contents(t, filepath.Dir(file))
			reading := options(file)
			reading.Reading = true
			for name, o := range map[string]store.Options{"serving": serving(file), "not serving": options(file), "reading": reading} {
				s, err := store.Open(t.Context(), o)
				if s != nil {
					t.Fatalf("%s: it was opened", name)
				}
				isSentence(t, err, file, "does not belong to the log beside it", "remove "+file+"-wal and "+file+"-shm", "latchkey restore --revive")
			}
			isSentence(t, store.Backup(t.Context(), options(file), copied+".2"), "does not belong to the log")
			for name, content := range before {
				if after := contents(t, filepath.Dir(file)); after[name] != content || len(after) != len(before) {
					t.Errorf("%s was changed", name)
				}
			}
			if tt.name == "no database" || tt.name == "nothing" {
				return
			}
			// The advice in the sentence works.
			for _, suffix := range []string{"-wal", "-shm"} {
				if err := os.Remove(file + suffix); err != nil {
					t.Fatal(err)
				}
			}
			s, err = store.Open(t.Context(), serving(file))
			if err != nil {
				t.Fatal(err)
			}
			defer closeNow(t, s)
			if _, err := s.AccountByID(t.Context(), "2112"); err != nil {
				t.Error(err)
			}
			if n := accounts(t, file); n != 2 {
				t.Errorf("there are %d accounts, want the 2 of the copy", n)
			}
		})
	}
}

func accounts(t *testing.T, file string) (n int) {
	t.Helper()
	if err := rawSQLite(t, file).QueryRow("SELECT count(*) FROM accounts").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestIncarnationOfAStoreMovedWithItsLog(t *testing.T) {
	file := newFile(t)
	acknowledged := killedWhileServing(t, file)
	other := newFile(t)
	if err := os.MkdirAll(filepath.Dir(other), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		write(t, other+suffix, string(read(t, file+suffix)))
	}
	s, err := store.Open(t.Context(), serving(other))
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	for _, id := range acknowledged {
		if _, err := s.AccountByID(t.Context(), id); err != nil {
			t.Errorf("%q was acknowledged: %v", id, err)
		}
	}
}

func TestIncarnationKeepsALogWithoutItsFile(t *testing.T) {
	file := newFile(t)
	killedWhileServing(t, file)
	log := read(t, file+"-wal")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), serving(file))
	isSentence(t, err, file, "does not belong to the log beside it")
	if !bytes.Equal(read(t, file+"-wal"), log) {
		t.Error("the log was changed")
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a store was made: %v", err)
	}
}

func TestIncarnationRefusesTheJournalOfAnotherStore(t *testing.T) {
	file, backup := newFile(t), filepath.Join(t.TempDir(), "backup.db")
	s, err := store.Open(t.Context(), serving(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Backup(t.Context(), options(file), backup); err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	// Another server was killed in its first migration, when there is a journal and no log.
	fresh := newFile(t)
	s, err = store.Open(t.Context(), serving(fresh))
	if err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	write(t, fresh+"-journal", strings.Repeat("j", 1024))
	write(t, fresh, string(read(t, backup)))
	_, err = store.Open(t.Context(), serving(fresh))
	isSentence(t, err, fresh, "does not belong to the log beside it, "+fresh+"-journal", "remove "+fresh+"-journal,")
}

// incarnationOf is the incarnation in the header, and list the content of the list beside the file.
func incarnationOf(t *testing.T, file string) (of string, list []string) {
	t.Helper()
	n := binary.BigEndian.Uint32(read(t, file)[60:])
	of = strconv.FormatUint(uint64(n), 16)
	of = strings.Repeat("0", 8-len(of)) + of
	return of, strings.Fields(string(read(t, file+"-incarnation")))
}

func TestIncarnationChangesWithEachStart(t *testing.T) {
	file, seen := newFile(t), map[string]bool{}
	for range 3 {
		s, err := store.Open(t.Context(), serving(file))
		if err != nil {
			t.Fatal(err)
		}
		// It is in the file itself at once, not only in the log.
		of, list := incarnationOf(t, file)
		if len(list) != 1 || list[0] != of || seen[of] {
			t.Errorf("the store has %s, the list beside it %v, before there were %v", of, list, seen)
		}
		seen[of] = true
		closeNow(t, s)
		closeNow(t, openAt(t, file))
		if again, _ := incarnationOf(t, file); again != of {
			t.Errorf("a command changed %s to %s", of, again)
		}
	}
}

func TestIncarnationsOfServersOnOneFile(t *testing.T) {
	file := newFile(t)
	first := startChild(t, "serve", file)
	if !first.lines.Scan() {
		t.Fatal("the first did not begin")
	}
	for range 5 {
		second, third := startChild(t, "start", file), startChild(t, "start", file)
		for _, p := range []*process{second, third} {
			if !p.lines.Scan() || p.lines.Text() != "open" {
				t.Fatalf("a server beside others says %q", p.lines.Text())
			}
		}
		command, err := store.Open(t.Context(), options(file))
		if err != nil {
			t.Fatal(err)
		}
		closeNow(t, command)
		kill(t, second)
		kill(t, third)
		second.rest()
		third.rest()
		if !first.lines.Scan() || strings.HasPrefix(first.lines.Text(), "failed") {
			t.Fatalf("the first server says %q", first.lines.Text())
		}
	}
	kill(t, first)
	first.rest()
	s, err := store.Open(t.Context(), serving(file))
	if err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
}

// A server may be killed at any moment of its start: the next one starts.
func TestIncarnationAfterAKillDuringTheStart(t *testing.T) {
	file := newFile(t)
	closeNow(t, openAt(t, file))
	for range 15 {
		one, other := startChild(t, "start", file), startChild(t, "serve", file)
		<-time.After(rand.N(40 * time.Millisecond)) // in the middle of whatever they are doing then
		kill(t, one)
		kill(t, other)
		for _, line := range append(one.rest(), other.rest()...) {
			if strings.HasPrefix(line, "failed") {
				t.Fatalf("a start was refused: %s", line)
			}
		}
		for _, o := range []store.Options{options(file), serving(file)} {
			s, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			closeNow(t, s)
		}
	}
}

func TestIncarnationListThatCannotBeWritten(t *testing.T) {
	start := func(t *testing.T, file string) {
		t.Helper()
		s, err := store.Open(t.Context(), serving(file))
		if err != nil {
			t.Fatal(err)
		}
		closeNow(t, s)
	}
	file, backup := newFile(t), filepath.Join(t.TempDir(), "backup.db")
	start(t, file)
	if err := store.Backup(t.Context(), options(file), backup); err != nil {
		t.Fatal(err)
	}
	start(t, file)
	if err := os.MkdirAll(file+"-incarnation.new/in the way", 0o700); err != nil {
		t.Fatal(err)
	}
	before, _ := incarnationOf(t, file)
	start(t, file)
	if of, list := incarnationOf(t, file); of != before || len(list) != 1 || list[0] != of {
		t.Errorf("the store has %s, before it had %s, and the list beside it is %v", of, before, list)
	}
	// A backup is not on the list, and cannot be put there: then there is none.
	write(t, file, string(read(t, backup)))
	start(t, file)
	if _, err := os.Stat(file + "-incarnation"); !os.IsNotExist(err) {
		t.Errorf("the list of another store is still there: %v", err)
	}
	killedWhileServing(t, file)
	start(t, file)
}

func TestIncarnationRefusesADamagedStoreWithALog(t *testing.T) {
	file := newFile(t)
	killedWhileServing(t, file)
	closeNow(t, openAt(t, file)) // the rows are in the file
	killedWhileServing(t, file)
	// Pages in the middle of the file.
	content := read(t, file)
	for i := 8 << 10; i < len(content)-4<<10; i++ {
		content[i] = 0xa5
	}
	write(t, file, string(content))
	before := contents(t, filepath.Dir(file))
	_, err := store.Open(t.Context(), serving(file))
	isSentence(t, err, "the store "+file+" is damaged", "latchkey restore")
	for name, content := range before {
		if after := contents(t, filepath.Dir(file)); after[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
}
