package store_test

import (
	"context"
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// answerTimeout is the two seconds of a statement, and what a busy machine may add.
const answerTimeout = 3 * time.Second

func TestPostgresFaultsOfTheNetwork(t *testing.T) {
	for _, tt := range []struct {
		name        string
		down        bool // while it lasts nothing is answered
		spoil, mend func(t *testing.T, p *proxy)
	}{
		{name: "the server is gone", down: true, spoil: func(_ *testing.T, p *proxy) { p.cut() }, mend: func(t *testing.T, p *proxy) { p.restore(t) }},
		{name: "the server hangs", down: true, spoil: func(_ *testing.T, p *proxy) { p.pause() }, mend: func(_ *testing.T, p *proxy) { p.resume() }},
		{name: "the server is lost and another takes over", down: true, spoil: func(_ *testing.T, p *proxy) { p.pause() }, mend: func(t *testing.T, p *proxy) { p.replace(t) }},
		{name: "the connections are reset", spoil: func(_ *testing.T, p *proxy) { p.reset() }, mend: func(*testing.T, *proxy) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, databaseURL := startProxy(t, newDatabase(t))
			survives(t, openURL(t, databaseURL), tt.down, func() { tt.spoil(t, p) }, func() { tt.mend(t, p) })
		})
	}
}

func TestPostgresEndsEverySession(t *testing.T) {
	databaseURL := newDatabase(t)
	other := rawPostgres(t, databaseURL)
	survives(t, openURL(t, databaseURL), false, func() {
		for range 20 {
			const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid()`
			if _, err := other.Exec(end); err != nil {
				t.Error(err)
			}
		}
	}, func() {})
}

// The same with a server that is really killed, stopped and paused. TEST_POSTGRES_CONTROL names a program that does so:
// "up" starts a server with its data in PGTEST_DIR, at the port PGTEST_PORT, and prints its URL on the last line; "kill",
// "stop", "start", "pause" and "resume" do to that server what they say.
func TestPostgresFaultsOfTheServer(t *testing.T) {
	control := os.Getenv("TEST_POSTGRES_CONTROL")
	if control == "" {
		t.Skip("NOT TESTED: TEST_POSTGRES_CONTROL names no program that starts and stops a server")
	}
	folder := t.TempDir()
	for _, open := range []string{folder, filepath.Dir(folder)} {
		mode(t, open, 0o755) // the server runs as somebody else
	}
	environment := append(os.Environ(), "PGTEST_DIR="+filepath.Join(folder, "postgres"), "PGTEST_PORT="+freePort(t))
	do := func(verb string) string {
		t.Helper()
		command := exec.Command(control, verb)
		command.Env = environment
		out, err := command.Output()
		if err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return lines[len(lines)-1]
	}
	t.Setenv("TEST_POSTGRES_URL", do("up"))
	defer do("stop")
	for _, tt := range []struct {
		name  string
		spoil []string
		mend  string
	}{
		{"killed", []string{"kill"}, "start"},
		{"stopped", []string{"stop"}, "start"},
		// Twice, because the server may have started a process for a connection while the first looked for them.
		{"paused", []string{"pause", "pause"}, "resume"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			survives(t, openURL(t, newDatabase(t)), true, func() {
				for _, verb := range tt.spoil {
					do(verb)
				}
			}, func() { do(tt.mend) })
		})
	}
	t.Run("a wrong password", func(t *testing.T) {
		hba := filepath.Join(folder, "postgres", "data", "pg_hba.conf")
		execute(t, rawPostgres(t, postgresURL(t).String()), "ALTER USER postgres PASSWORD 'correct'")
		write(t, hba, "host all all 127.0.0.1/32 scram-sha-256\n")
		do("stop")
		do("start")
		server := postgresURL(t)
		wrong := strings.Replace(server.String(), "postgres@", "postgres:hunter2@", 1)
		_, err := store.Open(t.Context(), store.Options{URL: wrong, Environment: "development"})
		isSentence(t, err, `password authentication failed for user "postgres"`)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is shown: %v", err)
		}
	})
}

// survives runs many operations before, during and after a fault, and checks that
//   - every answer is right or Unavailable, and in time;
//   - every acknowledged write is there afterwards;
//   - everything works again within two seconds.
func survives(t *testing.T, s *store.Store, down bool, spoil, mend func()) {
	t.Helper()
	if err := s.InsertDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{Target: "E1"}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var mu sync.Mutex
	var acknowledged []string
	var served, refused int
	var changes int64
	work := []func() error{
		func() error {
			a, err := s.AccountByUsername(ctx, "stevenm")
			if err == nil && a.ID != "2112" {
				t.Errorf("got %+v", a)
			}
			return err
		},
		func() error {
			rows, _, err := s.Storyspaces(ctx, "stevenm", store.Page{Size: 50})
			if err == nil && len(rows) != 2 {
				t.Errorf("got %+v", rows)
			}
			return err
		},
		func() error {
			a, err := s.CreateAccount(ctx, store.Account{Username: rand.Text()})
			if err == nil {
				mu.Lock()
				acknowledged = append(acknowledged, a.ID)
				mu.Unlock()
			}
			return err
		},
		func() error { _, err := s.CreateStoryspace(ctx, "foobar", "x"); return err },
		func() error {
			_, err := s.ChangeKey(ctx, "E1", keys.Event{Target: "E1"}, func(r *keys.Record) (bool, error) {
				r.Material = append(r.Material, 1)
				return true, nil
			})
			if err == nil {
				mu.Lock()
				changes++
				mu.Unlock()
			}
			return err
		},
		func() error { return s.AppendEvents(ctx, []keys.Event{{Target: "E2"}, {Target: "E2"}}) },
	}
	var wait sync.WaitGroup
	for i := range 24 {
		wait.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				err := work[i%len(work)]()
				if ctx.Err() != nil {
					return
				}
				if took := time.Since(began); took > answerTimeout {
					t.Errorf("an answer took %v", took)
				}
				mu.Lock()
				if err == nil {
					served++
				} else {
					refused++
				}
				mu.Unlock()
				if err != nil {
					isCode(t, "under way", err, fault.Unavailable)
				}
			}
		})
	}
	counts := func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return served, refused
	}
	until(t, "work before the fault", func() bool { n, _ := counts(); return n > 200 })
	spoil()
	if down {
		ready, cancel := context.WithTimeout(t.Context(), time.Second)
		isCode(t, "ready", s.Ready(ready), fault.Unavailable)
		cancel()
		_, before := counts()
		until(t, "refusals by each worker", func() bool { _, n := counts(); return n > before+24 })
	}
	mend()
	began := time.Now()
	until(t, "readiness", func() bool { return s.Ready(t.Context()) == nil })
	healthy, _ := counts()
	until(t, "work after the fault", func() bool { n, _ := counts(); return n > healthy+200 })
	if took := time.Since(began); took > answerTimeout {
		t.Errorf("it took %v to work again", took)
	}
	stop()
	wait.Wait()
	for _, id := range acknowledged {
		if _, err := s.AccountByID(t.Context(), id); err != nil {
			t.Errorf("%q was acknowledged: %v", id, err)
		}
	}
	// A change without an acknowledgement may have happened or not.
	if r, err := s.Key(t.Context(), "E1"); err != nil || r.Version < changes+1 || int64(len(r.Material)) != r.Version {
		t.Errorf("version %d and %d bytes, %v, after %d acknowledged changes", r.Version, len(r.Material), err, changes)
	}
	served, refused = counts()
	t.Logf("%d served, %d refused with unavailable", served, refused)
}

// until waits for a condition.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// freePort is a port of loopback that nothing uses.
func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
