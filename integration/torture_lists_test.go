//go:build torture && linux

package integration

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// What a list may cost where the audit is long.
const (
	auditRows   = 3_000_000
	pageTimeout = 50 * time.Millisecond
	pagesRead   = 100
	listCallers = 64
	// patience is the time for one kind of page in a slower program.
	patience = 5 * time.Second
	// listTimeout is the REQUEST_TIMEOUT of lists that would take longer.
	listTimeout = 100 * time.Millisecond
)

// longStore is a store with a long audit.
type longStore struct {
	name   string
	target *harness.Process // stopped; it knows the keys
	env    map[string]string
	dir    string
	db     func(t *testing.T) *sql.DB
	began  time.Time   // of the audit
	quiet  harness.Key // a key that did little
	noisy  harness.Key // a key that did nearly everything
}

// TestTortureLists: lists of a long audit are quick, take little from others, and end with their request.
func TestTortureLists(t *testing.T) {
	cores := harness.AllowedCores(t)
	bin := tortureBinary(t)
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		s := newLongStore(t, bin, engine)
		t.Run(engine, func(t *testing.T) {
			p := s.start(t, bin, nil)
			s.pages(t, p)
			if len(cores) < 2 {
				t.Log("NOT TESTED: one core for the server and its callers says nothing of their rates")
			} else {
				s.beside(t, p, cores)
			}
			p.Stop(t)
			s.endless(t, bin)
		})
	}
}

// newLongStore makes a store with the program's own schema, and fills its audit while nothing serves from it.
func newLongStore(t *testing.T, bin, engine string) *longStore {
	t.Helper()
	s := &longStore{name: engine, dir: t.TempDir(), env: map[string]string{"ACCESS_LOG": "false"}}
	s.began = time.Now().Add(-24 * time.Hour).UTC().Truncate(time.Second) // nothing is old enough to be removed
	if engine == "SQLite" {
		s.db = func(t *testing.T) *sql.DB {
			db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "latchkey.db")+"?_pragma=synchronous(OFF)&_pragma=cache_size(-262144)")
			if err != nil {
				t.Fatal(err)
			}
			db.SetMaxOpenConns(1)
			return db
		}
	} else {
		databaseURL, _ := harness.NewDatabase(t)
		s.env["DATABASE_URL"] = databaseURL
		s.db = func(t *testing.T) *sql.DB { return harness.OpenDatabase(t, databaseURL) }
	}
	p := harness.StartProcessIn(t, bin, s.dir, harness.FreshSecrets(), s.env)
	for key, scope := range map[*harness.Key]string{&p.Admin: "keys:admin", &s.quiet: "accounts:read", &s.noisy: "accounts:read"} {
		var made harness.CreatedKey
		p.MustRunJSON(t, &made, "keys", "create", "--client", "lists", "--scope", scope, "--json")
		*key = harness.ParseKey(t, made.Secret, p.Secrets.Audience)
	}
	s.target = p
	p.Stop(t)

	db := s.db(t)
	defer db.Close()
	numbers := fmt.Sprintf("SELECT i FROM generate_series(1, %d::bigint) AS n(i)", auditRows)
	indexes := `SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'audit' AND indexname <> 'audit_pkey'`
	last := "VACUUM ANALYZE"
	if engine == "SQLite" {
		numbers = fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n", auditRows)
		indexes = `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'audit' AND sql IS NOT NULL`
		last = "PRAGMA wal_checkpoint(TRUNCATE)"
	}
	// A key does nearly everything, and another one a little at the beginning. Times do not rise with the rows.
	fill := fmt.Sprintf(`INSERT INTO audit (at, actor, request_id, address, action, target, count)
		SELECT %d + i * 1000 + (i * 7919) %% 5000000, CASE WHEN i %% 10 = 0 THEN 'E' || (i %% 9973) WHEN i < 100 THEN '%s' ELSE '%s' END,
			'request-' || i, '192.0.2.1', 'refused', '/service/keys', 1 FROM (%s) AS rows`, s.began.UnixMicro(), s.quiet.ID, s.noisy.ID, numbers)
	began := time.Now()
	made := dropIndexes(t, db, indexes)
	for _, statement := range slices.Concat([]string{fill}, made, []string{last}) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	t.Logf("%s: %d rows and %d indexes in %v", engine, auditRows, len(made), time.Since(began).Round(time.Second))
	return s
}

// dropIndexes drops what the query finds, and gives the statements that make it again.
func dropIndexes(t *testing.T, db *sql.DB, query string) (made []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			t.Fatal(err)
		}
		names, made = append(names, name), append(made, statement)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := db.Exec("DROP INDEX " + name); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

// start serves from the store.
func (s *longStore) start(t *testing.T, bin string, more map[string]string) *harness.Process {
	t.Helper()
	env := maps.Clone(s.env)
	maps.Copy(env, more)
	p := harness.StartProcessIn(t, bin, s.dir, s.target.Secrets, env)
	p.Admin = s.target.Admin
	return p
}

// lists are the paths of every list of the audit: each filter, and each pair of filters, with values that many rows have,
// that few have and that none has, from the beginning and from far behind.
func (s *longStore) lists() []string {
	var paths []string
	for _, key := range []string{"", s.noisy.ID, s.quiet.ID, "Enobody00000"} {
		for _, since := range []int64{0, 1, auditRows / 2, auditRows - 20_000, auditRows * 2} {
			for _, after := range []int64{0, auditRows / 2, auditRows - 1000} {
				query := url.Values{"limit": {"200"}}
				if key != "" {
					query.Set("key", key)
				}
				if since != 0 {
					query.Set("since", s.began.Add(time.Duration(since)*time.Millisecond).Format(time.RFC3339Nano))
				}
				if after != 0 {
					query.Set("cursor", auditCursor(after))
				}
				paths = append(paths, "/service/audit?"+query.Encode())
			}
		}
	}
	return paths
}

// auditCursor stands behind a row: a caller has it from the Link of the page that ends there.
func auditCursor(seq int64) string {
	b := binary.BigEndian.AppendUint64([]byte{3}, uint64(seq))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

// pages reads each list, one page after the other.
func (s *longStore) pages(t *testing.T, p *harness.Process) {
	paths := s.lists()
	var all []time.Duration
	slowest, slow, unread := "", 0, 0
	var most time.Duration
	for _, path := range paths {
		began := time.Now()
		var took []time.Duration
		for len(took) < pagesRead && (len(took) == 0 || time.Since(began) < patience/time.Duration(len(paths)/10)) {
			status, needed := timedList(t, p, path)
			took = append(took, needed)
			if status != http.StatusOK {
				unread++
				t.Logf("%s: %d", path, status)
			}
		}
		if worst := slices.Max(took); worst > most {
			most, slowest = worst, path
		}
		if slices.Max(took) >= pageTimeout {
			slow++
			t.Logf("%s: up to %v", path, slices.Max(took))
		}
		all = append(all, took...)
	}
	slices.Sort(all)
	at := func(part float64) time.Duration {
		return all[int(part*float64(len(all)-1))].Round(10 * time.Microsecond)
	}
	tortureRow(t, fmt.Sprintf("%d lists of %d rows, a page of 200", len(paths), auditRows), fmt.Sprintf("200, each page under %v", pageTimeout),
		fmt.Sprintf("%d pages: p50 %v, p99 %v, max %v (%s); %d lists slower, %d pages not 200", len(all), at(.5), at(.99), at(1), slowest, slow, unread),
		most < pageTimeout && unread == 0)
}

// beside measures callers of whoami, alone and beside callers of lists. The server has a core of its own.
func (s *longStore) beside(t *testing.T, p *harness.Process, cores []string) {
	harness.Pin(t, os.Getpid(), cores[1])
	defer harness.Pin(t, os.Getpid(), strings.Join(cores, ","))
	harness.Pin(t, p.Cmd.Process.Pid, cores[0])
	defer harness.Pin(t, p.Cmd.Process.Pid, strings.Join(cores, ","))
	whoami := harness.GetRequest("/service/whoami", "Authorization: "+s.noisy.Token()+"\r\n")
	p.Loops(t, whoami, whoamiCallers, time.Second) // it gets warm
	alone := p.Loops(t, whoami, whoamiCallers, measureFor)
	tortureRow(t, fmt.Sprintf("%d callers of whoami, alone", whoamiCallers), "all 200", alone.String(), alone.Wrong() == 0)

	ctx, cancel := context.WithCancel(t.Context())
	var beside harness.LoopCounts
	var done sync.WaitGroup
	paths := s.lists()
	token := p.Admin.Token()
	began := time.Now()
	for i := range listCallers {
		done.Go(func() {
			for ctx.Err() == nil {
				if err := p.Loop(ctx, harness.GetRequest(paths[i%len(paths)], "Authorization: "+token+"\r\n"), &beside); err != nil && ctx.Err() == nil {
					beside.Failed.Add(1)
				}
			}
		})
	}
	during := p.Loops(t, whoami, whoamiCallers, measureFor)
	cancel()
	done.Wait()
	beside.Took = time.Since(began)
	share := during.PerSecond() / alone.PerSecond()
	tortureRow(t, fmt.Sprintf("%d callers of whoami beside %d callers of lists", whoamiCallers, listCallers), "all 200, half of the rate or more",
		fmt.Sprintf("%s: %.0f %% (the lists: %s)", during, 100*share, &beside), during.Wrong() == 0 && share >= 0.5 && beside.OK.Load() > 0)
}

// endless takes the indexes away, so that a list whose filter nothing fits reads every row: it ends when its request does.
func (s *longStore) endless(t *testing.T, bin string) {
	query := `SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'audit' AND indexname <> 'audit_pkey'`
	if s.name == "SQLite" {
		query = `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'audit' AND sql IS NOT NULL`
	}
	db := s.db(t)
	dropIndexes(t, db, query)
	_ = db.Close()
	path := "/service/audit?key=Enobody00000"

	p := s.start(t, bin, nil)
	status, unlimited := timedList(t, p, path)
	p.Stop(t)

	p = s.start(t, bin, map[string]string{"REQUEST_TIMEOUT": listTimeout.String()})
	defer p.Stop(t)
	var took []time.Duration
	codes := map[int]int{}
	for range 10 {
		status, needed := timedList(t, p, path)
		took = append(took, needed)
		codes[status]++
	}
	ends := http.StatusGatewayTimeout
	if s.name == "PostgreSQL" {
		ends = http.StatusServiceUnavailable // nobody knows whether the server hangs
	}
	tortureRow(t, fmt.Sprintf("a list that takes %v (%d), with REQUEST_TIMEOUT=%v", unlimited.Round(time.Millisecond), status, listTimeout),
		fmt.Sprintf("%d in time", ends), fmt.Sprintf("%v, up to %v", codes, slices.Max(took).Round(time.Millisecond)),
		codes[ends] == 10 && slices.Max(took) < 2*listTimeout)

	// Clients that ask and go away: what they asked for is not worked on.
	request := harness.GetRequest(path, "Authorization: "+p.Admin.Token()+"\r\n")
	before := s.work(t, p)
	for range listCallers {
		conn := p.Connect(t)
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	began := time.Now()
	for s.busy(t, p) && time.Since(began) < time.Minute {
		time.Sleep(10 * time.Millisecond)
	}
	idle := time.Since(began)
	whoami, err := p.Try(t, harness.Call{Path: "/service/whoami", Token: p.Admin.Token(), Unready: true})
	tortureRow(t, fmt.Sprintf("%d clients ask for it and go away", listCallers), fmt.Sprintf("whoami 200; the work ends within %v", 10*listTimeout),
		fmt.Sprintf("whoami %d %v; it ends after %v, %v of processor time", whoami.Status, err, idle.Round(time.Millisecond), (s.work(t, p)-before).Round(time.Millisecond)),
		whoami.Status == http.StatusOK && idle < 10*listTimeout)
}

// timedList asks for a list, and says how long its whole answer took.
func timedList(t *testing.T, p *harness.Process, path string) (status int, took time.Duration) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.Admin.Token())
	began := time.Now()
	resp, err := harness.HTTPClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, time.Since(began)
}

// work is the processor time that the server has used.
func (s *longStore) work(t *testing.T, p *harness.Process) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	var ticks int
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// busy reports whether a list is being read: on SQLite the server itself works, on PostgreSQL its server does.
func (s *longStore) busy(t *testing.T, p *harness.Process) bool {
	t.Helper()
	if s.name == "SQLite" {
		before := s.work(t, p)
		time.Sleep(100 * time.Millisecond)
		return s.work(t, p)-before > 30*time.Millisecond
	}
	db := s.db(t)
	defer db.Close()
	var n int
	err := db.QueryRow(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
		AND state = 'active' AND query LIKE '(SELECT seq%'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}
