//go:build torture && linux

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// What tokens of a size that the caller chose may cost.
const (
	manyTokens = 20_000
	// acceptedCost is the memory that accepted tokens may add, in KiB. refusedCost is the noise of a process that keeps nothing.
	acceptedCost = 30 << 10
	refusedCost  = 4 << 10
	tokenCallers = 16
)

// fatToken is a token of nearly 3 KiB, of which each i has another one.
func fatToken(key harness.Key, audience string, i int) string {
	audiences := []string{audience}
	for range 514 {
		audiences = append(audiences, "a")
	}
	return key.JWT(key.Good().With("aud", audiences).With("jti", fmt.Sprint(i)))
}

// TestTortureCostOfTokens: the memory for cached tokens does not depend on their content, and refused tokens are not cached.
func TestTortureCostOfTokens(t *testing.T) {
	bin := tortureBinary(t)
	for _, tt := range []struct {
		name, path string
		key        []string
		status     int
		most       int
	}{
		{"accepted", "/service/whoami", nil, http.StatusOK, acceptedCost},
		{"over the limit of their key", "/service/whoami", []string{"--rate", "0.001", "--burst", "1"}, http.StatusTooManyRequests, refusedCost},
		{"without the scope", "/service/storyspaces/2113", nil, http.StatusForbidden, refusedCost},
	} {
		p := harness.StartProcess(t, bin, map[string]string{"ACCESS_LOG": "false"})
		key := createKey(t, p, tt.key...)
		p.WhoamiStatus(t, key.Token()) // the one that the limit lets through
		// The memory of a process that works at this rate and keeps nothing.
		sendTokens(t, p, "/service/whoami", http.StatusUnauthorized, func(i int) string { return fatToken(key, "somebody else", i) })
		before, heap := p.Memory(t, "VmRSS"), p.Heap(t)
		length := len(fatToken(key, key.Audience, manyTokens))
		sendTokens(t, p, tt.path, tt.status, func(i int) string { return fatToken(key, key.Audience, i) })
		more, moreHeap := p.Memory(t, "VmRSS")-before, p.Heap(t)-heap
		tortureRow(t, fmt.Sprintf("%d different tokens of %d bytes, %s", manyTokens, length, tt.name),
			fmt.Sprintf("%d, less than %d MiB more", tt.status, tt.most>>10),
			fmt.Sprintf("%d, %.1f MiB more (%.1f before; heap %+.1f MiB)", tt.status, float64(more)/1024, float64(before)/1024, moreHeap),
			more < tt.most)
		p.Stop(t)
	}
}

// TestTortureCostOfIdleConnections: an idle connection keeps no memory of a large request.
func TestTortureCostOfIdleConnections(t *testing.T) {
	const connections, most = 3000, 150 << 10
	bin := tortureBinary(t)
	whoami := "GET /service/whoami HTTP/1.1\r\nHost: x\r\n"
	post := "POST /service/account/register HTTP/1.1\r\nHost: x\r\n"
	for _, tt := range []struct{ name, request string }{
		{"3000 header lines", whoami + strings.Repeat("a:b\r\n", 3000) + "\r\n"},
		{"3000 trailers", post + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("a:b\r\n", 3000) + "\r\n"},
		{"64 KiB of body", post + fmt.Sprintf("Content-Length: %d\r\n\r\n", 64<<10) + strings.Repeat("a", 64<<10)},
	} {
		p := harness.StartProcess(t, bin, map[string]string{"ACCESS_LOG": "false"})
		var all []*harness.Dialog
		for range connections {
			line := p.Dialog(t)
			if status, err := line.Ask(whoami + "\r\n"); err != nil || status != http.StatusUnauthorized {
				t.Fatal(status, err)
			}
			all = append(all, line)
		}
		before, status := p.Memory(t, "VmRSS"), 0
		for _, line := range all {
			var err error
			if status, err = line.Ask(tt.request); err != nil {
				t.Fatal(err)
			}
		}
		more := p.Memory(t, "VmRSS") - before
		tortureRow(t, fmt.Sprintf("%d idle connections without a token, each after %s", connections, tt.name),
			fmt.Sprintf("less than %d MiB more", most>>10), fmt.Sprintf("%.1f MiB more (%d)", float64(more)/1024, status), more < most)
		p.Stop(t)
	}
}

// createKey makes a key on the command line, which has had these flags in all versions.
func createKey(t *testing.T, p *harness.Process, flags ...string) harness.Key {
	t.Helper()
	var made harness.CreatedKey
	p.MustRunJSON(t, &made, append([]string{"keys", "create", "--client", "torture", "--scope", "accounts:read", "--json"}, flags...)...)
	return harness.ParseKey(t, made.Secret, p.Secrets.Audience)
}

// sendTokens sends manyTokens requests with different tokens, and demands one status for all.
func sendTokens(t *testing.T, p *harness.Process, path string, status int, token func(i int) string) {
	t.Helper()
	var callers sync.WaitGroup
	for caller := range tokenCallers {
		callers.Go(func() {
			line := p.Dialog(t)
			for i := caller; i < manyTokens; i += tokenCallers {
				got, err := line.Ask(harness.GetRequest(path, "Authorization: "+token(i)+"\r\n"))
				if err != nil || got != status {
					t.Errorf("%s: %d %v, want %d", path, got, err, status)
					return
				}
			}
		})
	}
	callers.Wait()
}

// TestTortureCostOfStrangers: a flood of made-up ids does not delay the first use of a key, with a store 5 ms away. The server
// has its own core. A known key, measured at the same time, shows the wait for that core.
func TestTortureCostOfStrangers(t *testing.T) {
	const strangers, firstUses, away, most = 2500, 40, 5 * time.Millisecond, 100 * time.Millisecond
	cores := harness.AllowedCores(t)
	bin := tortureBinary(t)
	databaseURL, _ := harness.NewDatabase(t)
	_, farURL := harness.NewFarStore(t, databaseURL, away)
	p := harness.StartProcess(t, bin, map[string]string{"DATABASE_URL": farURL, "ACCESS_LOG": "false"})
	known := createKey(t, p)
	knownToken := known.Token()
	p.WhoamiStatus(t, knownToken)
	var unused []string
	for range firstUses {
		unused = append(unused, createKey(t, p).Token())
	}
	if len(cores) > 1 {
		harness.Pin(t, p.Cmd.Process.Pid, cores[0])
	}

	strangeToken := known.Token()
	_, rest, _ := strings.Cut(strangeToken, ".")
	stop := make(chan struct{})
	var all sync.WaitGroup
	var answers [600]counter
	for i := range strangers {
		line := p.Dialog(t)
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("E%05d%06d", i, n)
				status, err := line.Ask(harness.GetRequest("/service/whoami", "Authorization: "+harness.Segment(`{"alg":"EdDSA","kid":"`+id+`"}`)+"."+rest+"\r\n"))
				if err != nil {
					answers[0].add()
					return
				}
				answers[status].add()
			}
		})
	}
	began := time.Now()
	harness.Eventually(t, harness.StartTimeout, "the strangers are many", func() bool { return answers[401].n.Load()+answers[503].n.Load() >= strangers })
	first, again := p.Dialog(t), p.Dialog(t)
	var firsts, repeats []time.Duration
	refused := 0
	for _, token := range unused {
		status, took := first.TimedAsk(harness.GetRequest("/service/whoami", "Authorization: "+token+"\r\n"))
		firsts = append(firsts, took)
		if status != http.StatusOK {
			refused++
		}
		_, took = again.TimedAsk(harness.GetRequest("/service/whoami", "Authorization: "+knownToken+"\r\n"))
		repeats = append(repeats, took)
	}
	took := time.Since(began)
	close(stop)
	all.Wait()
	wait := median(firsts) - median(repeats)
	tortureRow(t, fmt.Sprintf("%d first uses beside %d connections with made-up ids, the store %v away", firstUses, strangers, away),
		fmt.Sprintf("all 200, %v more than for a key that is known", most),
		fmt.Sprintf("%d refused; median %v, longest %v; a known key %v, %v; so the place was found in %v; strangers: %.0f/s, %d of them 401, %d 503, %d failed",
			refused, median(firsts), longest(firsts), median(repeats), longest(repeats), wait,
			float64(answers[401].n.Load()+answers[503].n.Load())/took.Seconds(), answers[401].n.Load(), answers[503].n.Load(), answers[0].n.Load()),
		refused == 0 && wait < most)
}

// TestTortureCostOfNotices: a flood of NOTIFY does not become a flood of queries.
func TestTortureCostOfNotices(t *testing.T) {
	const tellers, perSecond, d = 4, 60, 4 * time.Second
	databaseURL, db := harness.NewDatabase(t)
	line, farURL := harness.NewFarStore(t, databaseURL, 0)
	p := harness.StartProcess(t, tortureBinary(t), map[string]string{"DATABASE_URL": farURL, "ACCESS_LOG": "false"})
	rate := func() float64 {
		began, before := time.Now(), line.Requests.Load()
		harness.Eventually(t, 2*d, "the time of measuring is over", func() bool { return time.Since(began) > d })
		return float64(line.Requests.Load()-before) / time.Since(began).Seconds()
	}
	atRest := rate()
	var notices atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range tellers {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := db.Exec("NOTIFY latchkey"); err != nil {
					t.Error(err)
					return
				}
				notices.Add(1)
			}
		})
	}
	began := time.Now()
	flooded := rate()
	noticeRate := float64(notices.Load()) / time.Since(began).Seconds()
	close(stop)
	all.Wait()
	tortureRow(t, fmt.Sprintf("NOTIFY from %d connections, %.0f a second", tellers, noticeRate),
		fmt.Sprintf("the store is asked at most %d times a second", perSecond),
		fmt.Sprintf("%.0f times a second (%.1f at rest)", flooded, atRest), flooded < perSecond)
	p.Stop(t)
}

// TestTortureCostOfManyChanges: an instance catches up with hundreds of thousands of changes.
func TestTortureCostOfManyChanges(t *testing.T) {
	const changes = 400_000
	databaseURL, db := harness.NewDatabase(t)
	_, farURL := harness.NewFarStore(t, databaseURL, 5*time.Millisecond)
	p := harness.StartProcess(t, tortureBinary(t), map[string]string{"DATABASE_URL": farURL, "ACCESS_LOG": "false"})
	key := createKey(t, p)
	token := key.Token()
	p.WhoamiStatus(t, token)
	before := p.Memory(t, "VmRSS")
	_, err := db.Exec(`WITH first AS (SELECT value FROM key_version), made AS (
			INSERT INTO keys (id, client, kind, environment, scopes, rate, burst, state, hint, material, rotated_to, rotated_from,
				created_at, expires_at, last_used_at, version)
			SELECT 'E' || lpad(i::text, 11, '0'), 'many', 'ed25519', 'live', 'accounts:read', 0, 0, 'enabled', '', decode(repeat('00', 32), 'hex'),
				'', '', 0, 0, 0, value + i
			FROM first, generate_series(1, $1) i
		) UPDATE key_version SET value = value + $1`, changes)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, said, code := p.CLI(t, "keys", "revoke", key.ID, "--wait")
	said = strings.Join(strings.Fields(said), " ")
	took := time.Since(began)
	status := p.WhoamiStatus(t, token)
	tortureRow(t, fmt.Sprintf("a revocation behind %d changes, which a running instance has to hear of", changes),
		"confirmed, 401, less than 30 MiB more",
		fmt.Sprintf("exit code %d in %v, %d, %.1f MiB more %s", code, took.Round(time.Millisecond), status, float64(p.Memory(t, "VmRSS")-before)/1024, said),
		code == 0 && status == http.StatusUnauthorized && p.Memory(t, "VmRSS")-before < 30<<10)
	p.Stop(t)
}

// counter counts what many do.
type counter struct{ n atomic.Int64 }

func (c *counter) add() { c.n.Add(1) }

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func longest(all []time.Duration) time.Duration { return slices.Max(all) }
