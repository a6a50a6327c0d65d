//go:build torture

package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// tortureKills is the number of kills of each test below.
const tortureKills = 100

// TestTortureRestoreAfterKill repeats on one store: a write load, a backup during it, a kill at a random moment, a restore, a
// start. For an older program at TORTURE_BINARY without restore, the backup is copied over the store.
func TestTortureRestoreAfterKill(t *testing.T) {
	bin := tortureBinary(t)
	s, dir := harness.FreshSecrets(), t.TempDir()
	p := harness.StartProcessIn(t, bin, dir, s, map[string]string{"ACCESS_LOG": "false"})
	p.Admin = newAdmin(t, &p.Target)
	_, _, code := p.CLI(t, "restore", "--help")
	copied := code != 0
	load, found := newRestoreLoad(), &faultsFound{}
	how, rounds, accounts, revokedSince := "restore", 0, 0, 0
	if copied {
		how = "copied over the store"
	}
	defer func() { // also where a broken store ends the test
		tortureRow(t, fmt.Sprintf("%d times: kill -9 during writes, %s, start", tortureKills, how),
			"integrity ok; exactly the backup's rows; keys and audit of the killed store; no revoked key accepted, no other refused",
			fmt.Sprintf("%d rounds, %s; %d accounts written and %d keys of the backup revoked between backup and kill; %d revoked and %d other keys tried",
				rounds, found, accounts, revokedSince, load.triedDead, load.triedLive),
			found.none() && rounds == tortureKills && revokedSince > 0 && accounts > 0)
	}()
	for round := range tortureKills {
		found.round = round
		load.begin(t, p)
		backup := filepath.Join(t.TempDir(), "backup.db")
		<-time.After(rand.N(150 * time.Millisecond)) // at any moment of the load
		p.MustRun(t, "backup", backup)
		<-time.After(rand.N(300 * time.Millisecond)) // the same for the kill
		p.Kill(t)
		load.end()

		store := filepath.Join(dir, "latchkey.db")
		before, saved := readStore(t, copyOf(t, store)), readStore(t, backup)
		accounts += len(before.rows["accounts"]) - len(saved.rows["accounts"])
		revokedSince += len(revokedBetween(saved, before))
		if copied {
			text, err := os.ReadFile(backup)
			if err := errors.Join(err, os.WriteFile(store, text, 0o600)); err != nil {
				t.Fatal(err)
			}
		} else if _, stderr, code := p.CLI(t, "restore", backup); code != 0 {
			found.add("restore: exit code %d: %s", code, stderr)
		}
		readStore(t, copyOf(t, store)).isRestored(found, saved, before)

		p = restartAfter(t, found, bin, dir, s, p.Admin)
		load.checkKeys(t, p, found)
		load.checkAccounts(t, p, found, saved)
		// What the server makes of it is whole as well.
		if live := readStore(t, copyOf(t, store)); live.integrity != "ok" {
			found.add("with the server running: %.200s", live.integrity)
		}
		rounds++
	}
}

// TestTortureRestoreInterrupted interrupts a restore over the store of a killed server at random moments, and starts the
// server: the store is the old or the new one, whole.
func TestTortureRestoreInterrupted(t *testing.T) {
	bin := tortureBinary(t)
	s, killed, backup := harness.FreshSecrets(), t.TempDir(), filepath.Join(t.TempDir(), "backup.db")
	env := map[string]string{"ACCESS_LOG": "false"}
	p := harness.StartProcessIn(t, bin, killed, s, env)
	p.Admin = newAdmin(t, &p.Target)
	p.Stop(t)
	addAccounts(t, filepath.Join(killed, "latchkey.db"), 50_000) // so that every step takes its time
	p = harness.StartProcessIn(t, bin, killed, s, env)
	p.Admin = newAdmin(t, &p.Target)
	load := newRestoreLoad()
	load.begin(t, p)
	<-time.After(time.Second)
	p.MustRun(t, "backup", backup)
	<-time.After(time.Second)
	p.Kill(t)
	load.end()
	saved, before := readStore(t, backup), readStore(t, copyOf(t, filepath.Join(killed, "latchkey.db")))

	took := time.Hour
	for range 3 {
		began := time.Now()
		if err := restoring(t, bin, copyFolder(t, killed), s, backup).Wait(); err != nil {
			t.Fatal(err)
		}
		took = min(took, time.Since(began))
	}
	found, outcomes, interrupted := &faultsFound{}, map[string]int{}, 0
	for round := 0; interrupted < tortureKills && round < 4*tortureKills; round++ { // some are faster than their signal
		found.round = round
		dir, sig := copyFolder(t, killed), []os.Signal{syscall.SIGKILL, syscall.SIGTERM}[round%2]
		store := filepath.Join(dir, "latchkey.db")
		restore := restoring(t, bin, dir, s, backup)
		<-time.After(rand.N(took))      // in the middle of whatever it is doing then
		_ = restore.Process.Signal(sig) // it may have ended
		_ = restore.Wait()              // the exit code is read from ProcessState
		after, code := readStore(t, copyOf(t, store)), restore.ProcessState.ExitCode()
		outcome := "new"
		if slices.Equal(after.rows["accounts"], before.rows["accounts"]) {
			outcome = "old"
			after.isSame(found, before)
		} else {
			after.isRestored(found, saved, before)
		}
		if code == 0 && outcome != "new" || code > 0 && outcome != "old" {
			found.add("exit code %d, and the store is the %s one", code, outcome)
		}
		outcomes[fmt.Sprintf("%s after %v", outcome, restore.ProcessState)]++
		if code != 0 {
			interrupted++
		}
		again := restartAfter(t, found, bin, dir, s, p.Admin)
		load.checkKeys(t, again, found)
		again.Kill(t)
		// The next restore is as good as the first, and takes away what this one left.
		if _, stderr, code := again.CLI(t, "restore", backup); code != 0 {
			found.add("restored again: exit code %d: %s", code, stderr)
		}
		if left := slices.Sorted(maps.Keys(harness.ReadFolder(t, dir))); !slices.Equal(left, []string{"latchkey.db", "latchkey.db-incarnation", "latchkey.db-reserve"}) {
			found.add("left %q", left)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	tortureRow(t, fmt.Sprintf("%d times: a restore of %v is ended by SIGKILL or SIGTERM", tortureKills, took.Round(time.Millisecond)),
		"the old or the new store, whole, and the next restore works", fmt.Sprintf("%s; %v", found, outcomes),
		found.none() && interrupted == tortureKills)
}

// faultsFound counts problems and keeps the first.
type faultsFound struct {
	round, count int
	first        string
}

func (p *faultsFound) add(format string, args ...any) {
	if p.count++; p.first == "" {
		p.first = fmt.Sprintf("in round %d ", p.round) + fmt.Sprintf(format, args...)
	}
}

func (p *faultsFound) none() bool { return p.count == 0 }

func (p *faultsFound) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d problems %s", p.count, p.first))
}

func newAdmin(t *testing.T, tg *harness.Target) harness.Key {
	t.Helper()
	return harness.ParseKey(t, strings.TrimSpace(tg.MustRun(t, "keys", "create", "--client", "operations", "--scope", "keys:admin")), tg.Secrets.Audience)
}

// restartAfter starts the server in a folder where something was restored.
func restartAfter(t *testing.T, found *faultsFound, bin, dir string, s harness.Secrets, admin harness.Key) *harness.Process {
	t.Helper()
	p := harness.StartProcessIn(t, bin, dir, s, map[string]string{"ACCESS_LOG": "false"})
	p.Admin = admin
	if a, err := p.Try(t, harness.Call{Path: "/service/keys", Token: admin.Token(), Unready: true}); err != nil || a.Status != http.StatusOK {
		found.add("the administrator's key: %d %v", a.Status, err)
	}
	return p
}

// restoring starts a restore.
func restoring(t *testing.T, bin, dir string, s harness.Secrets, backup string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(bin, "restore", backup)
	cmd.Dir, cmd.Env = dir, harness.Environment(harness.ProductionEnv(s, dir))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// restoreLoad writes from several connections, and keeps what was acknowledged.
type restoreLoad struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu         sync.Mutex
	live, dead map[string]harness.Key // acknowledged as made or rotated to; acknowledged as revoked
	fresh      map[string]bool        // of dead: in the latest round
	accounts   []string               // acknowledged in the latest round

	triedDead, triedLive int
}

func newRestoreLoad() *restoreLoad {
	return &restoreLoad{live: map[string]harness.Key{}, dead: map[string]harness.Key{}}
}

func (l *restoreLoad) begin(t *testing.T, p *harness.Process) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l.stop, l.fresh, l.accounts = stop, map[string]bool{}, nil
	t.Cleanup(l.end)
	var writes atomic.Int64
	for range 6 {
		l.done.Go(func() {
			for ctx.Err() == nil && l.write(t, p, writes.Add(1)) == nil {
			}
		})
	}
}

// end stops the writers and waits for them.
func (l *restoreLoad) end() {
	l.stop()
	l.done.Wait()
}

// write makes one change, and keeps it if it was acknowledged.
func (l *restoreLoad) write(t *testing.T, p *harness.Process, n int64) error {
	admin := func(path, body string) (harness.Answer, error) {
		c := harness.Call{Method: http.MethodPost, Path: path, Token: p.Admin.Token(), Body: body, Unready: true}
		if body != "" {
			c.Header = map[string]string{"Content-Type": "application/json"}
		}
		return p.Try(t, c)
	}
	switch n % 6 {
	case 0, 1:
		name := harness.FreshName()
		c := harness.Post("/service/account/register", harness.Body{"username": name}.JSON())
		c.Token, c.Unready = p.Secrets.Token(), true
		a, err := p.Try(t, c)
		if err == nil && a.Status == http.StatusCreated {
			l.mu.Lock()
			l.accounts = append(l.accounts, name)
			l.mu.Unlock()
		}
		return err
	case 2, 3:
		a, err := admin("/service/keys", harness.Body{"client": "load", "scopes": []string{"accounts:read"}}.JSON())
		return l.noteMade(t, a, err)
	}
	key, ok := l.take()
	if !ok {
		return nil
	}
	if n%6 == 4 {
		a, err := admin("/service/keys/"+key.ID+"/rotate", "")
		return l.noteMade(t, a, err)
	}
	a, err := admin("/service/keys/"+key.ID+"/revoke", "")
	if err == nil && a.Status == http.StatusOK {
		l.mu.Lock()
		l.dead[key.ID], l.fresh[key.ID] = key, true
		l.mu.Unlock()
	}
	return err
}

func (l *restoreLoad) noteMade(t *testing.T, a harness.Answer, err error) error {
	if err == nil && a.Status == http.StatusCreated {
		if text := harness.KeyString.FindString(a.Body); text != "" {
			key := harness.ParseKey(t, text, "latchkey-api")
			l.mu.Lock()
			l.live[key.ID] = key
			l.mu.Unlock()
		}
	}
	return err
}

// take removes a key from live, so that no other writer changes it.
func (l *restoreLoad) take() (harness.Key, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, key := range l.live {
		delete(l.live, id)
		return key, true
	}
	return harness.Key{}, false
}

// checkKeys demands that revoked keys are refused and others accepted: all keys of the latest round, and some older ones.
func (l *restoreLoad) checkKeys(t *testing.T, p *harness.Process, found *faultsFound) {
	t.Helper()
	const some = 20
	others := 0
	for id, key := range l.dead {
		if !l.fresh[id] {
			if others++; others > some {
				continue
			}
		}
		l.triedDead++
		if a, err := p.Try(t, harness.Call{Path: "/service/whoami", Token: key.Token(), Unready: true}); err != nil || a.Status != http.StatusUnauthorized {
			found.add("a revoked key: %d %v", a.Status, err)
		}
	}
	others = 0
	for _, key := range l.live {
		if others++; others > some {
			break
		}
		l.triedLive++
		if a, err := p.Try(t, harness.Call{Path: "/service/whoami", Token: key.Token(), Unready: true}); err != nil || a.Status != http.StatusOK {
			found.add("a key that is in force: %d %v", a.Status, err)
		}
	}
}

// checkAccounts asks for accounts of the backup, and for some that were acknowledged after it.
func (l *restoreLoad) checkAccounts(t *testing.T, p *harness.Process, found *faultsFound, saved stored) {
	t.Helper()
	all := strings.Join(saved.rows["accounts"], "\n")
	for _, name := range l.accounts[max(0, len(l.accounts)-20):] {
		want := http.StatusNotFound
		if strings.Contains(all, name) {
			want = http.StatusOK
		}
		a, err := p.Try(t, harness.Call{Path: "/service/account/" + name, Token: p.Secrets.Token(), Unready: true})
		if err != nil || a.Status != want {
			found.add("account %s: %d %v, want %d", name, a.Status, err, want)
		}
	}
}
