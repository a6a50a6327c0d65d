package integration

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkRollingRestarts does at least so much.
const (
	rollingRestarts = 20
	rollingRequests = 20_000
	rollingPace     = 20 * time.Millisecond // of each client
	rollingTimeout  = 3 * time.Minute
)

// checkRollingRestarts: two instances behind a balancer restart in turn, many times, and no request fails. They have production
// settings and fixed ports.
func checkRollingRestarts(t *testing.T, bin string) {
	harness.NeedSignals(t)
	databaseURL, db := harness.NewDatabase(t)
	s := harness.FreshSecrets()
	start := make([]func() *harness.Process, 2)
	processes := make([]*harness.Process, 2)
	addresses := make([]string, 2)
	for i := range start {
		port, dir := fixedPort(t), t.TempDir()
		addresses[i] = net.JoinHostPort("127.0.0.1", port)
		start[i] = func() *harness.Process {
			return harness.StartProcessIn(t, bin, dir, s, map[string]string{"DATABASE_URL": databaseURL, "PORT": port, "DRAIN_DELAY": "2s"})
		}
		processes[i] = start[i]()
	}
	processes[0].Enroll(t)
	proxy := harness.StartBalancer(t, addresses...)
	takesPart := func(i int) {
		t.Helper()
		harness.Eventually(t, harness.StartTimeout, "the balancer finds the instance ready", proxy.Instances[i].Ready.Load)
	}
	takesPart(0)
	takesPart(1)

	load := startLoad(t, proxy.URL, []harness.Credential{s.Shared(), processes[0].FullKeys[harness.KindEd25519].Credential, processes[0].FullKeys[harness.KindHS256].Credential})
	began := time.Now()
	for n := range rollingRestarts {
		i := n % len(processes)
		if code := processes[i].Stop(t); code != 0 {
			t.Errorf("restart %d: exit code %d", n, code)
		}
		harness.Eventually(t, harness.StartTimeout, "the balancer finds the instance gone", func() bool { return !proxy.Instances[i].Ready.Load() })
		processes[i] = start[i]()
		takesPart(i)
	}
	took := time.Since(began)
	harness.Eventually(t, rollingTimeout, "enough requests", func() bool { return load.total() >= rollingRequests })
	load.stop()

	right, failed, text := load.count()
	t.Logf("%d rolling restarts in %s: %d requests, %d failed (%s); instance 1 served %d, instance 2 %d", rollingRestarts,
		took.Round(time.Second), right+failed, failed, text, proxy.Instances[0].Served.Load(), proxy.Instances[1].Served.Load())
	if failed > 0 {
		t.Errorf("%d requests failed", failed)
	}
	load.areStored(t, db)
}

// fixedPort is a free port outside the range of ephemeral ports: no client gets it while its process restarts.
func fixedPort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(10_000))
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			_ = listener.Close()
			return port
		}
	}
	t.Fatal("no port is free between 20000 and 30000")
	return ""
}

// load is the results of clients that run during a test.
type load struct {
	url  string
	stop func() // stops the clients, and waits for their last requests

	mu       sync.Mutex
	statuses map[string]int    // right answers, by status
	failures map[string]int    // all other results, by description
	accounts map[string]string // ids of acknowledged accounts, by username
}

// startLoad starts clients for each credential: two that reuse connections, two that open one for each request.
func startLoad(t *testing.T, url string, credentials []harness.Credential) *load {
	t.Helper()
	l := &load{url: url, statuses: map[string]int{}, failures: map[string]int{}, accounts: map[string]string{}}
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for _, c := range credentials {
		for _, fresh := range []bool{false, false, true, true} {
			client := &http.Client{Transport: harness.SentOnce{RoundTripper: harness.NewTransport(t, fresh)}, Timeout: harness.StartTimeout}
			clients.Go(func() { l.use(ctx, client, c) })
		}
	}
	l.stop = func() { cancel(); clients.Wait() }
	t.Cleanup(l.stop)
	return l
}

// use registers accounts and reads them, until ctx ends.
func (l *load) use(ctx context.Context, client *http.Client, c harness.Credential) {
	tick := time.NewTicker(rollingPace)
	defer tick.Stop()
	who := `{"key":"` + c.APIKey + `"`
	if c.Header == harness.HeaderHS256 {
		who = `{"key":"shared"`
	}
	for token := c.Token(); ctx.Err() == nil; {
		name := harness.FreshName()
		registered, ok := l.ask(client, token, http.MethodPost, "/service/account/register", `{"username":"`+name+`"}`, http.StatusCreated, `{"id":"`)
		<-tick.C
		if !ok {
			continue
		}
		l.acknowledged(name, registered)
		for path, want := range map[string]string{
			"/service/account/" + name:               registered,
			"/service/account/stevenm":               `{"id":"2112","username":"stevenm"}`,
			"/service/storyspaces/?username=stevenm": `[{"id":"1","name":"barfood"},{"id":"2","name":"bazbars"}]`,
			"/service/whoami":                        who,
		} {
			l.ask(client, token, http.MethodGet, path, "", http.StatusOK, want)
			<-tick.C
		}
	}
}

// ask sends one request and counts the result. A right answer has this status, and a body that begins with want.
func (l *load) ask(client *http.Client, token, method, path, body string, status int, want string) (got string, ok bool) {
	// The last request of a client is not cancelled.
	r, err := http.NewRequestWithContext(context.Background(), method, l.url+path, strings.NewReader(body))
	if err != nil {
		return "", l.failed(method, err.Error())
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	a, err := client.Do(r)
	if err != nil {
		return "", l.failed(method, errors.Unwrap(err).Error()) // without the URL
	}
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return "", l.failed(method, err.Error())
	}
	if a.StatusCode != status || !strings.HasPrefix(string(text), want) {
		return "", l.failed(method, a.Status+" "+string(text))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[strconv.Itoa(status)]++
	return string(text), true
}

// failed counts a request with a wrong answer or none.
func (l *load) failed(method, why string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[method+": "+why]++
	return false
}

// acknowledged keeps the id of a registered account.
func (l *load) acknowledged(name, body string) {
	var made harness.Account
	if err := json.Unmarshal([]byte(body), &made); err != nil || made.Username != name || made.ID == "" {
		l.failed(http.MethodPost, body)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts[name] = made.ID
}

// total is the number of finished requests.
func (l *load) total() int {
	right, failed, _ := l.count()
	return right + failed
}

// count is the number of right answers and of failures, and a text with the number of each kind; at most five kinds of failures.
func (l *load) count() (right, failed int, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kinds []string
	for _, status := range slices.Sorted(maps.Keys(l.statuses)) {
		right += l.statuses[status]
		kinds = append(kinds, fmt.Sprintf("%s: %d", status, l.statuses[status]))
	}
	const kindsShown = 5
	for _, what := range slices.Sorted(maps.Keys(l.failures)) {
		failed += l.failures[what]
		if len(kinds) < len(l.statuses)+kindsShown {
			kinds = append(kinds, fmt.Sprintf("%q: %d", what, l.failures[what]))
		}
	}
	return right, failed, strings.Join(kinds, ", ")
}

// areStored demands that the database has every acknowledged account.
func (l *load) areStored(t *testing.T, db *sql.DB) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT username, id FROM accounts")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	stored := map[string]string{}
	for rows.Next() {
		var name, id string
		if err := rows.Scan(&name, &id); err != nil {
			t.Fatal(err)
		}
		stored[name] = id
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	missing := 0
	for name, id := range l.accounts {
		if stored[name] != id {
			missing++
		}
	}
	t.Logf("%d accounts acknowledged, %d of them not in the database", len(l.accounts), missing)
	if missing > 0 || len(l.accounts) == 0 {
		t.Errorf("%d of %d accounts are not in the database", missing, len(l.accounts))
	}
}
