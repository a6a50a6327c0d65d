package store_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// childRole makes this test binary do one task as a process of its own; childUID makes it another user first.
const (
	childRole = "STORE_TEST_CHILD"
	childUID  = "STORE_TEST_UID"
	// childBackup is what the child restores.
	childBackup = "STORE_TEST_BACKUP"
)

func TestMain(m *testing.M) {
	role := os.Getenv(childRole)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := child(context.Background(), role, os.Args[1]); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// child opens the store of a file, or of a URL of PostgreSQL. As "register" it creates accounts and prints the id of each
// that was acknowledged, until it is killed; as "serve" it does the same with the options of a server; as "open" it says that the store is open, and leaves when its input ends; as
// "revoke" it says so in the middle of revoking the key E1, and goes on when its input ends; as "restore" it restores a
// backup, and says so.
func child(ctx context.Context, role, place string) error {
	if err := become(os.Getenv(childUID)); err != nil {
		return err
	}
	o := options(place)
	if strings.HasPrefix(place, "postgres:") {
		o.URL = place
	}
	if role == "restore" {
		_, err := store.Restore(ctx, o, store.Backed{File: os.Getenv(childBackup), Event: restoring})
		if err == nil {
			fmt.Println("restored")
		}
		return err
	}
	o.Serving = role == "serve" || role == "start"
	s, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	switch role {
	case "open", "start":
		fmt.Println("open")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return s.Close()
	case "revoke":
		_, err := s.ChangeKey(ctx, "E1", keys.Event{}, func(r *keys.Record) (bool, error) {
			fmt.Println("revoke")
			_, _ = io.Copy(io.Discard, os.Stdin)
			return revoke(r)
		})
		return err
	}
	for {
		a, err := s.CreateAccount(ctx, store.Account{Username: rand.Text()})
		if err != nil {
			return err
		}
		fmt.Println(a.ID)
	}
}

// process is a running child.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
	lines   *bufio.Scanner
}

func startChild(t *testing.T, role, place string, environment ...string) *process {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], place)
	command.Env = append(append(os.Environ(), childRole+"="+role), environment...)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{command, stdin, bufio.NewScanner(stdout)}
}

// rest reads what the child still prints, and waits for its end.
func (p *process) rest() []string {
	var lines []string
	for p.lines.Scan() {
		lines = append(lines, p.lines.Text())
	}
	_ = p.command.Wait()
	return lines
}

func TestWritesSurviveAKill(t *testing.T) {
	file := newFile(t)
	var acknowledged []string
	for range 5 {
		p := startChild(t, "register", file)
		for range 20 {
			if !p.lines.Scan() {
				t.Fatal("the child ended by itself")
			}
			acknowledged = append(acknowledged, p.lines.Text())
		}
		// It is killed in the middle of its work; what it printed until then was acknowledged too.
		if err := p.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		acknowledged = append(acknowledged, p.rest()...)
	}
	s := openAt(t, file)
	for _, id := range acknowledged {
		if _, err := s.AccountByID(t.Context(), id); err != nil {
			t.Errorf("%q was acknowledged: %v", id, err)
		}
	}
}

func TestOpenByManyProcessesAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		for range 3 {
			p := newPlace(t)
			at := strings.TrimPrefix(p.url, "sqlite:")
			children := []*process{startChild(t, "open", at), startChild(t, "open", at), startChild(t, "open", at)}
			s := p.open(t)
			if err := s.InsertDemo(t.Context()); err != nil {
				t.Error(err)
			}
			for _, p := range children {
				if !p.lines.Scan() || p.lines.Text() != "open" {
					t.Errorf("a child says %q", p.lines.Text())
				}
				if err := p.stdin.Close(); err != nil {
					t.Error(err)
				}
				if rest := p.rest(); len(rest) > 0 || !p.command.ProcessState.Success() {
					t.Errorf("a child ended with %v and says %q", p.command.ProcessState, rest)
				}
			}
			if err := s.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			// What was migrated was migrated once; the version 0 is goose's own.
			var rows, versions int
			const count = "SELECT count(*), count(DISTINCT version_id) FROM goose_db_version"
			if err := p.raw(t).QueryRow(count).Scan(&rows, &versions); err != nil || rows != versions || rows != len(p.migrations(t))+1 {
				t.Errorf("%d migrations in %d rows, %v", versions, rows, err)
			}
		}
	})
}

func TestOpenExplainsAnUnwritablePath(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	const uid = "65532"
	tests := []struct {
		name string
		make func(t *testing.T, folder, file string)
	}{
		{"the folder belongs to another user", func(*testing.T, string, string) {}},
		{"the file belongs to another user", func(t *testing.T, folder, file string) {
			closeNow(t, openAt(t, file))
			mode(t, file, 0o644)
			mode(t, folder, 0o777)
		}},
		{"the file cannot even be read", func(t *testing.T, folder, file string) {
			closeNow(t, openAt(t, file))
			mode(t, folder, 0o777)
		}},
		{"the file is the user's own and its folder is not", func(t *testing.T, folder, file string) {
			closeNow(t, openAt(t, file))
			mode(t, file, 0o666)
		}},
		{"the folder cannot even be entered", func(t *testing.T, folder, file string) {
			mode(t, folder, 0o700)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			mode(t, folder, 0o755)
			mode(t, parent(folder), 0o755)
			file := folder + "/latchkey.db"
			tt.make(t, folder, file)
			lines := startChild(t, "open", file, childUID+"="+uid).rest()
			if len(lines) != 1 {
				t.Fatalf("the child says %q", lines)
			}
			isSentence(t, errors.New(lines[0]),
				"failed: the store "+file+" cannot be written: permission denied", "runs as uid "+uid, folder+" belongs to uid 0")
		})
	}
}

func mode(t *testing.T, path string, bits os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, bits); err != nil {
		t.Fatal(err)
	}
}

func parent(path string) string { return path[:strings.LastIndex(path, "/")] }
