package integration

import (
	"database/sql"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// revokedLimit is how soon an instance that reaches the store has heard of a revocation.
const revokedLimit = time.Second

// callers are those whose requests are the load on a store with faults.
type callers struct {
	target           *target // where keys are made and revoked
	good, forged     string  // tokens of the shared key, and of somebody who has only its name
	enabled, revoked clientKey
	cold             chan clientKey // keys that no instance has seen
	victim           atomic.Pointer[victim]

	mu         sync.Mutex
	registered []string // the answers to those who registered
}

// victim is a key that is revoked during a fault.
type victim struct {
	key          clientKey
	token        string
	asked, acked atomic.Pointer[time.Time]
}

func newCallers(t *testing.T, tg *target) *callers {
	t.Helper()
	s := tg.secrets.shared()
	c := &callers{target: tg, good: s.token(), forged: s.forged(s.good()), cold: make(chan clientKey, 150)}
	c.enabled, _ = tg.issue(t, request{})
	c.revoked, _ = tg.issue(t, request{})
	tg.change(t, c.revoked, "revoke")
	c.replenish(t)
	return c
}

// replenish makes new cold keys and a new victim.
func (c *callers) replenish(t *testing.T) {
	t.Helper()
	for range cap(c.cold) - len(c.cold) {
		key, _ := c.target.issue(t, request{})
		c.cold <- key
	}
	key, _ := c.target.issue(t, request{})
	c.victim.Store(&victim{key: key, token: key.token()})
}

// revoke revokes the victim as soon as the store takes it. The channel is closed then.
func (c *callers) revoke(l *faultLoad) <-chan struct{} {
	v, done := c.victim.Load(), make(chan struct{})
	now := func() *time.Time { at := time.Now(); return &at }
	ask := call{method: http.MethodPost, path: "/service/keys/" + v.key.id + "/revoke", token: c.target.admin.token(), unready: true}
	v.asked.Store(now())
	l.workers.Go(func() {
		defer close(done)
		for !l.stopped() {
			a, err := c.target.try(l.t, ask)
			switch {
			case err == nil && a.status == http.StatusServiceUnavailable:
			case err == nil && a.status == http.StatusOK:
				v.acked.Store(now())
				return
			default:
				l.complain("revoke: %d %s, %v", a.status, a.body, err)
				return
			}
		}
	})
	return done
}

func (c *callers) errands() []errand {
	const often, seldom = 20 * time.Millisecond, 500 * time.Millisecond
	get := func(path, token string) func() call {
		return func() call { return call{path: path, token: token} }
	}
	is := func(status int, body string) func(call, answer, time.Time) bool {
		return func(_ call, a answer, _ time.Time) bool {
			return a.status == status && strings.HasPrefix(a.body, body)
		}
	}
	incorrect := is(http.StatusUnauthorized, `{"detail":"Incorrect API token"}`)
	enabled := c.enabled.token()
	return []errand{
		{name: "liveness", workers: 1, every: often, alone: true, next: get("/livez", ""), right: is(http.StatusOK, `{"status":"ok"}`)},
		{
			name: "shared key", workers: 1, every: often, alone: true,
			next: get("/service/whoami", c.good), right: is(http.StatusOK, `{"key":"shared"`),
		},
		{
			name: "bad signature", workers: 1, every: often, alone: true, next: get("/service/account/stevenm", c.forged),
			right: is(http.StatusUnauthorized, `{"detail":"Error decoding token: signature verification failed"}`),
		},
		{
			name: "account", workers: 2, every: often,
			next: get("/service/account/stevenm", c.good), right: is(http.StatusOK, `{"id":"2112","username":"stevenm"}`),
		},
		{
			name: "unknown account", workers: 2, every: often,
			next: get("/service/account/nobody-here", c.good), right: is(http.StatusNotFound, `{"detail":"Not Found"}`),
		},
		{name: "register", workers: 2, every: often, next: c.register, right: c.isRegistered},
		{
			name: "account by a key", workers: 1, every: often, registered: true,
			next: get("/service/account/stevenm", enabled), right: is(http.StatusOK, `{"id":"2112","username":"stevenm"}`),
		},
		{
			name: "enabled key", workers: 2, every: often, registered: true,
			next: get("/service/whoami", enabled), right: is(http.StatusOK, `{"key":"`+c.enabled.id+`"`),
		},
		{
			name: "revoked key", workers: 1, every: often, registered: true,
			next: get("/service/whoami", c.revoked.token()), right: incorrect,
		},
		{
			name: "cold key", workers: 1, every: seldom, registered: true,
			next: func() call {
				select {
				case key := <-c.cold:
					return call{path: "/service/whoami", token: key.token()}
				default:
					return call{}
				}
			},
			right: is(http.StatusOK, `{"key":"E`),
		},
		{
			name: "key being revoked", workers: 2, every: often, registered: true,
			next: func() call { return call{path: "/service/whoami", token: c.victim.Load().token} },
			right: func(sent call, a answer, began time.Time) bool {
				v := c.victim.Load()
				if sent.token != v.token {
					return true // of the one before
				}
				if a.status == http.StatusOK {
					acked := v.acked.Load()
					return acked == nil || began.Before(acked.Add(revokedLimit))
				}
				return v.asked.Load() != nil && incorrect(sent, a, began)
			},
		},
	}
}

func (c *callers) register() call {
	r := post("/service/account/register", request{"username": freshName()}.json())
	r.token = c.good
	return r
}

func (c *callers) isRegistered(sent call, a answer, _ time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registered = append(c.registered, strings.TrimSpace(a.body))
	return a.status == http.StatusCreated && strings.Contains(a.body, strings.Trim(sent.body, "{}"))
}

// verify demands that every account is there that was acknowledged.
func (c *callers) verify(t *testing.T, db *sql.DB) {
	t.Helper()
	c.mu.Lock()
	acknowledged := c.registered
	c.mu.Unlock()
	const asAnswered = `SELECT string_agg('{"id":"' || id || '","username":"' || username || '"}', chr(10)) FROM accounts`
	there := map[string]bool{}
	for account := range strings.SplitSeq(oneText(t, db, asAnswered), "\n") {
		there[account] = true
	}
	for _, account := range acknowledged {
		if !there[account] {
			t.Errorf("acknowledged, and not there: %s", account)
		}
	}
	t.Logf("%d accounts were acknowledged, %d are there", len(acknowledged), len(there))
}
