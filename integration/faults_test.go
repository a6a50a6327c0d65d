package integration

import (
	"database/sql"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

const (
	// readyTimeout is how soon /readyz must change, recoveryTimeout how soon everything must work again.
	readyTimeout    = 2 * time.Second
	recoveryTimeout = 2 * time.Second
	// snapshotTimeout is how long an instance that cannot reach the store may use its snapshot of the keys.
	snapshotTimeout = 5 * time.Second
	// poolSize is the number of connections of an instance, without the one for LISTEN.
	poolSize = 16
)

// checkFaults: the PostgreSQL server of two busy instances is killed, paused and restarted.
//   - readiness changes, liveness does not
//   - no answer is wrong
//   - soon after the server is back, everything works, and no goroutine, file or connection is left behind
func checkFaults(t *testing.T, bin string) {
	harness.NeedSignals(t)
	server := harness.StartPostgres(t)
	db := harness.OpenDatabase(t, server.URL)
	s := harness.FreshSecrets()
	settings := map[string]string{"DATABASE_URL": server.URL, "ACCESS_LOG": "false", "DRAIN_DELAY": "1s"}
	instances := []*harness.Process{harness.StartProcessIn(t, bin, t.TempDir(), s, settings), harness.StartProcessIn(t, bin, t.TempDir(), s, settings)}
	instances[0].Enroll(t)
	fillPools(t, db, instances)
	callers := newCallers(t, &instances[0].Target)
	load := harness.StartFaultLoad(t, instances, callers.errands())
	load.WaitServed(t, 3)
	before := levelOf(t, db, instances)

	for _, tt := range []struct {
		name  string
		spoil []string
		mend  string
		long  bool // until the snapshots are too old
	}{
		{name: "killed", spoil: []string{"kill"}, mend: "start", long: true},
		// Twice: the server may start a process while the first pause looks for them.
		{name: "paused", spoil: []string{"pause", "pause"}, mend: "resume", long: true},
		{name: "restarted", spoil: []string{"stop"}, mend: "start"},
	} {
		survived := t.Run(tt.name, func(t *testing.T) {
			callers.replenish(t)
			load.Enter(harness.Phase{Name: tt.name + ", before", Healthy: true})
			load.WaitServed(t, 3)

			load.Enter(harness.Phase{Name: tt.name + ", during"})
			for _, verb := range tt.spoil {
				server.Control(t, verb)
			}
			spoiled := time.Now()
			revoked := callers.revoke(load)
			if tt.long {
				waitReadiness(t, instances, http.StatusServiceUnavailable, spoiled)
				load.WaitRefused(t, func(e harness.RequestKind) bool { return !e.WithoutStore && !e.RegisteredKey })
				<-time.After(time.Until(spoiled.Add(snapshotTimeout)))
				load.Enter(harness.Phase{Name: tt.name + ", for long", Stale: true})
				load.WaitRefused(t, func(e harness.RequestKind) bool { return !e.WithoutStore })
			}

			load.Enter(harness.Phase{Name: tt.name + ", returning"})
			server.Control(t, tt.mend)
			mended := time.Now()
			load.SetBegin(mended)
			waitReadiness(t, instances, http.StatusOK, mended)
			load.WaitServed(t, 1)
			t.Logf("every instance answered every kind of request %v after the server was back", time.Since(mended).Round(time.Millisecond))
			<-time.After(time.Until(mended.Add(recoveryTimeout)))

			load.Enter(harness.Phase{Name: tt.name + ", after", Healthy: true})
			callers.replenish(t)
			load.WaitServed(t, 3)
			<-revoked
			load.Enter(harness.Phase{Healthy: true})
			callers.verify(t, db)
			waitLevel(t, db, instances, before)
		})
		if !survived {
			return // the server may still be stopped
		}
	}
	load.Stop()
	t.Run("stop while paused", func(t *testing.T) {
		server.Control(t, "pause")
		server.Control(t, "pause")
		stopWaiting(t, instances)
	})
}

// waitReadiness waits until /readyz of every instance has this status: at most readyTimeout after since.
func waitReadiness(t *testing.T, instances []*harness.Process, status int, since time.Time) {
	t.Helper()
	took := make([]time.Duration, len(instances))
	var asking sync.WaitGroup
	for i, p := range instances {
		asking.Go(func() {
			for took[i] < harness.StartTimeout {
				a, err := p.Try(t, harness.Call{Path: "/readyz", Unready: true})
				if took[i] = time.Since(since); err == nil && a.Status == status {
					return
				}
			}
		})
	}
	asking.Wait()
	t.Logf("/readyz says %d after %v", status, took)
	if slices.Max(took) > readyTimeout {
		t.Errorf("/readyz said %d later than %v", status, readyTimeout)
	}
}

// level is what a fault must not raise: goroutines and files of each instance, connections of all.
type level struct {
	goroutines, files []float64
	connections       int
}

func levelOf(t *testing.T, db *sql.DB, instances []*harness.Process) level {
	t.Helper()
	l := level{connections: connections(t, db)}
	for _, p := range instances {
		metrics := p.OpsPage(t, "/metrics")
		l.goroutines = append(l.goroutines, harness.SumMetric(metrics, "go_goroutines"))
		l.files = append(l.files, harness.SumMetric(metrics, "process_open_fds"))
	}
	return l
}

// waitLevel waits until nothing is above its level before, except a few goroutines and files.
func waitLevel(t *testing.T, db *sql.DB, instances []*harness.Process, before level) {
	t.Helper()
	const few = 10
	began := time.Now()
	var now level
	defer func() {
		t.Logf("before all faults %+v, %v after this one %+v", before, time.Since(began).Round(time.Millisecond), now)
	}()
	harness.Eventually(t, harness.StartTimeout, "goroutines, files and connections are back to their level", func() bool {
		now = levelOf(t, db, instances)
		back := now.connections <= before.connections
		for i := range instances {
			back = back && now.goroutines[i] <= before.goroutines[i]+few && now.files[i] <= before.files[i]+few
		}
		return back
	})
}

// connections is the number of connections of all instances.
func connections(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'latchkey'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// fillPools makes every instance open all its connections, by as many reads of a locked table. More connections after a fault
// are then a leak.
func fillPools(t *testing.T, db *sql.DB, instances []*harness.Process) {
	t.Helper()
	lock, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback() }()
	if _, err := lock.Exec("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var reads sync.WaitGroup
	for _, p := range instances {
		for range poolSize {
			reads.Go(func() {
				// A read may time out; its connection was opened all the same.
				if _, err := p.Try(t, harness.Call{Path: "/service/account/stevenm", Token: p.Secrets.Token(), Unready: true}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	harness.Eventually(t, harness.StartTimeout, "every connection is open", func() bool { return connections(t, db) == (poolSize+1)*len(instances) })
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	reads.Wait()
}

// stopWaiting stops the instances while requests wait for a paused server. The requests are answered, and the programs end.
func stopWaiting(t *testing.T, instances []*harness.Process) {
	t.Helper()
	var waiting sync.WaitGroup
	for _, p := range instances {
		for range poolSize / 2 {
			waiting.Go(func() {
				a, err := p.Try(t, harness.Call{Path: "/service/account/stevenm", Token: p.Secrets.Token(), Unready: true})
				if err != nil || a.Status != http.StatusServiceUnavailable {
					t.Errorf("a request that waits is answered %d %s, %v", a.Status, a.Body, err)
				}
			})
		}
	}
	waitReadiness(t, instances, http.StatusServiceUnavailable, time.Now())
	stopped := time.Now()
	for _, p := range instances {
		waiting.Go(func() {
			if code := p.Stop(t); code != 0 {
				t.Errorf("the program ended with code %d", code)
			}
			t.Logf("the program ended %v after SIGTERM", time.Since(stopped).Round(time.Millisecond))
		})
	}
	waiting.Wait()
}
