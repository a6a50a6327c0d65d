package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// checkPgBouncer proves two instances behind a PgBouncer that gives each transaction another connection.
func checkPgBouncer(t *testing.T, bin string) {
	databaseURL, db := newDatabase(t)
	load := poolerLoad{keys: 8, requests: 800}
	load.run(t, startFleet(t, bin, startPgBouncer(t, databaseURL, "transaction"), startPgBouncer(t, databaseURL, "transaction")))
	t.Log(load.String())
	if load.failed.Load() > 0 {
		t.Errorf("%d requests failed: %s", load.failed.Load(), load.first)
	}
	if n := oneText(t, db, "SELECT count(*) FROM keys WHERE client = 'pooled' AND state = 'revoked'"); n != "8" {
		t.Errorf("%s keys are revoked", n)
	}
}

// poolerLoad makes keys, uses them at every instance beside reads and writes of resources, and revokes them.
type poolerLoad struct {
	keys, requests int

	sent, failed, confirmed atomic.Int64
	mu                      sync.Mutex
	first                   string
}

func (l *poolerLoad) String() string {
	return fmt.Sprintf("%d keys made, used and revoked, %d revocations confirmed by both instances; %d requests, %d failed",
		l.keys, l.confirmed.Load(), l.sent.Load(), l.failed.Load())
}

func (l *poolerLoad) run(t *testing.T, fleet []*process) {
	t.Helper()
	places := make(chan struct{}, 16)
	var all sync.WaitGroup
	for range l.keys {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			l.life(t, fleet)
		})
	}
	all.Wait()
}

// life is that of one key.
func (l *poolerLoad) life(t *testing.T, fleet []*process) {
	admin, shared := fleet[0].admin.token(), fleet[0].secrets.shared().token()
	create := post("/service/keys", request{"client": "pooled", "scopes": []string{"accounts:read"}}.json())
	create.token = admin
	made := l.ask(t, fleet[0], create, http.StatusCreated)
	text := keyString.FindString(made.body)
	if text == "" {
		return // it is counted
	}
	key := readKey(t, text, fleet[0].secrets.audience)
	token := key.token()
	for i := range (l.requests/l.keys - 6) / 4 {
		p := fleet[i%len(fleet)]
		l.ask(t, p, call{path: "/service/whoami", token: token}, http.StatusOK)
		l.ask(t, p, call{path: "/service/account/stevenm", token: token}, http.StatusOK)
		register := post("/service/account/register", request{"username": freshName()}.json())
		register.token = shared
		l.ask(t, p, register, http.StatusCreated)
		l.ask(t, p, call{path: "/service/keys/" + key.id, token: admin}, http.StatusOK)
	}
	revoke := call{method: http.MethodPost, path: "/service/keys/" + key.id + "/revoke?wait=true", token: admin}
	revoked := l.ask(t, fleet[0], revoke, http.StatusOK)
	if strings.Count(revoked.body, `"instance"`) == len(fleet) && strings.Contains(revoked.body, `"late":[]`) {
		l.confirmed.Add(1)
	} else {
		l.fail("not confirmed: " + revoked.body)
	}
	for _, p := range fleet {
		l.ask(t, p, call{path: "/service/whoami", token: token}, http.StatusUnauthorized)
	}
	l.ask(t, fleet[1], call{path: "/service/audit?key=" + key.id, token: admin}, http.StatusOK)
}

func (l *poolerLoad) ask(t *testing.T, p *process, c call, want int) answer {
	l.sent.Add(1)
	c.unready = true
	a, err := p.try(t, c)
	if err != nil || a.status != want {
		l.fail(fmt.Sprintf("%s %s: %d %s, %v", c.method, c.path, a.status, a.body, err))
	}
	return a
}

func (l *poolerLoad) fail(what string) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = what
	}
}
