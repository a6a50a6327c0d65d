package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkPgBouncer: two instances work through a PgBouncer in transaction mode.
func checkPgBouncer(t *testing.T, bin string) {
	databaseURL, db := harness.NewDatabase(t)
	load := poolerLoad{keys: 8, requests: 800}
	load.run(t, harness.StartFleet(t, bin, harness.StartPgBouncer(t, databaseURL, "transaction"), harness.StartPgBouncer(t, databaseURL, "transaction")))
	t.Log(load.String())
	if load.failed.Load() > 0 {
		t.Errorf("%d requests failed: %s", load.failed.Load(), load.first)
	}
	if n := harness.QueryText(t, db, "SELECT count(*) FROM keys WHERE client = 'pooled' AND state = 'revoked'"); n != "8" {
		t.Errorf("%s keys are revoked", n)
	}
}

// poolerLoad creates keys, uses them at every instance, reads and writes resources, and revokes the keys.
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

func (l *poolerLoad) run(t *testing.T, fleet []*harness.Process) {
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

// life is the life of one key.
func (l *poolerLoad) life(t *testing.T, fleet []*harness.Process) {
	admin, shared := fleet[0].Admin.Token(), fleet[0].Secrets.Shared().Token()
	create := harness.Post("/service/keys", harness.Body{"client": "pooled", "scopes": []string{"accounts:read"}}.JSON())
	create.Token = admin
	made := l.ask(t, fleet[0], create, http.StatusCreated)
	text := harness.KeyString.FindString(made.Body)
	if text == "" {
		return // ask has counted it
	}
	key := harness.ParseKey(t, text, fleet[0].Secrets.Audience)
	token := key.Token()
	for i := range (l.requests/l.keys - 6) / 4 {
		p := fleet[i%len(fleet)]
		l.ask(t, p, harness.Call{Path: "/service/whoami", Token: token}, http.StatusOK)
		l.ask(t, p, harness.Call{Path: "/service/account/stevenm", Token: token}, http.StatusOK)
		register := harness.Post("/service/account/register", harness.Body{"username": harness.FreshName()}.JSON())
		register.Token = shared
		l.ask(t, p, register, http.StatusCreated)
		l.ask(t, p, harness.Call{Path: "/service/keys/" + key.ID, Token: admin}, http.StatusOK)
	}
	revoke := harness.Call{Method: http.MethodPost, Path: "/service/keys/" + key.ID + "/revoke?wait=true", Token: admin}
	revoked := l.ask(t, fleet[0], revoke, http.StatusOK)
	if strings.Count(revoked.Body, `"instance"`) == len(fleet) && strings.Contains(revoked.Body, `"late":[]`) {
		l.confirmed.Add(1)
	} else {
		l.fail("not confirmed: " + revoked.Body)
	}
	for _, p := range fleet {
		l.ask(t, p, harness.Call{Path: "/service/whoami", Token: token}, http.StatusUnauthorized)
	}
	l.ask(t, fleet[1], harness.Call{Path: "/service/audit?key=" + key.ID, Token: admin}, http.StatusOK)
}

func (l *poolerLoad) ask(t *testing.T, p *harness.Process, c harness.Call, want int) harness.Answer {
	l.sent.Add(1)
	c.Unready = true
	a, err := p.Try(t, c)
	if err != nil || a.Status != want {
		l.fail(fmt.Sprintf("%s %s: %d %s, %v", c.Method, c.Path, a.Status, a.Body, err))
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
