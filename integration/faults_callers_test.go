package integration

import (
	"database/sql"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// revokedTimeout is how soon an instance that reaches the store refuses a revoked key.
const revokedTimeout = time.Second

// callers make the requests that are the load during faults.
type callers struct {
	target           *harness.Target // where keys are created and revoked
	good, forged     string          // tokens of the shared key: a valid one, and one with a wrong signature
	enabled, revoked harness.Key
	cold             chan harness.Key // keys that no instance has used
	victim           atomic.Pointer[victim]

	mu         sync.Mutex
	registered []string // the answers to those who registered
}

// victim is the key that is revoked during a fault, and when that was requested and acknowledged.
type victim struct {
	key                     harness.Key
	token                   string
	requested, acknowledged atomic.Pointer[time.Time]
}

func newCallers(t *testing.T, tg *harness.Target) *callers {
	t.Helper()
	s := tg.Secrets.Shared()
	c := &callers{target: tg, good: s.Token(), forged: s.Forged(s.Good()), cold: make(chan harness.Key, 150)}
	c.enabled, _ = tg.IssueKey(t, harness.Body{})
	c.revoked, _ = tg.IssueKey(t, harness.Body{})
	tg.ChangeKey(t, c.revoked, "revoke")
	c.replenish(t)
	return c
}

// replenish creates cold keys and a new victim.
func (c *callers) replenish(t *testing.T) {
	t.Helper()
	for range cap(c.cold) - len(c.cold) {
		key, _ := c.target.IssueKey(t, harness.Body{})
		c.cold <- key
	}
	key, _ := c.target.IssueKey(t, harness.Body{})
	c.victim.Store(&victim{key: key, token: key.Token()})
}

// revoke retries until the store has revoked the victim, and then closes the channel.
func (c *callers) revoke(l *harness.FaultLoad) <-chan struct{} {
	v, done := c.victim.Load(), make(chan struct{})
	now := func() *time.Time { at := time.Now(); return &at }
	ask := harness.Call{Method: http.MethodPost, Path: "/service/keys/" + v.key.ID + "/revoke", Token: c.target.Admin.Token(), Unready: true}
	v.requested.Store(now())
	l.Workers.Go(func() {
		defer close(done)
		for !l.Stopped() {
			a, err := c.target.Try(l.T, ask)
			switch {
			case err == nil && a.Status == http.StatusServiceUnavailable:
			case err == nil && a.Status == http.StatusOK:
				v.acknowledged.Store(now())
				return
			default:
				l.Complain("revoke: %d %s, %v", a.Status, a.Body, err)
				return
			}
		}
	})
	return done
}

func (c *callers) errands() []harness.RequestKind {
	const often, seldom = 20 * time.Millisecond, 500 * time.Millisecond
	get := func(path, token string) func() harness.Call {
		return func() harness.Call { return harness.Call{Path: path, Token: token} }
	}
	is := func(status int, body string) func(harness.Call, harness.Answer, time.Time) bool {
		return func(_ harness.Call, a harness.Answer, _ time.Time) bool {
			return a.Status == status && strings.HasPrefix(a.Body, body)
		}
	}
	incorrect := is(http.StatusUnauthorized, `{"detail":"Incorrect API token"}`)
	enabled := c.enabled.Token()
	return []harness.RequestKind{
		{Name: "liveness", Workers: 1, Every: often, WithoutStore: true, Next: get("/livez", ""), IsRight: is(http.StatusOK, `{"status":"ok"}`)},
		{
			Name: "shared key", Workers: 1, Every: often, WithoutStore: true,
			Next: get("/service/whoami", c.good), IsRight: is(http.StatusOK, `{"key":"shared"`),
		},
		{
			Name: "bad signature", Workers: 1, Every: often, WithoutStore: true, Next: get("/service/account/stevenm", c.forged),
			IsRight: is(http.StatusUnauthorized, `{"detail":"Error decoding token: signature verification failed"}`),
		},
		{
			Name: "account", Workers: 2, Every: often,
			Next: get("/service/account/stevenm", c.good), IsRight: is(http.StatusOK, `{"id":"2112","username":"stevenm"}`),
		},
		{
			Name: "unknown account", Workers: 2, Every: often,
			Next: get("/service/account/nobody-here", c.good), IsRight: is(http.StatusNotFound, `{"detail":"Not Found"}`),
		},
		{Name: "register", Workers: 2, Every: often, Next: c.register, IsRight: c.isRegistered},
		{
			Name: "account by a key", Workers: 1, Every: often, RegisteredKey: true,
			Next: get("/service/account/stevenm", enabled), IsRight: is(http.StatusOK, `{"id":"2112","username":"stevenm"}`),
		},
		{
			Name: "enabled key", Workers: 2, Every: often, RegisteredKey: true,
			Next: get("/service/whoami", enabled), IsRight: is(http.StatusOK, `{"key":"`+c.enabled.ID+`"`),
		},
		{
			Name: "revoked key", Workers: 1, Every: often, RegisteredKey: true,
			Next: get("/service/whoami", c.revoked.Token()), IsRight: incorrect,
		},
		{
			Name: "cold key", Workers: 1, Every: seldom, RegisteredKey: true,
			Next: func() harness.Call {
				select {
				case key := <-c.cold:
					return harness.Call{Path: "/service/whoami", Token: key.Token()}
				default:
					return harness.Call{}
				}
			},
			IsRight: is(http.StatusOK, `{"key":"E`),
		},
		{
			Name: "key being revoked", Workers: 2, Every: often, RegisteredKey: true,
			Next: func() harness.Call { return harness.Call{Path: "/service/whoami", Token: c.victim.Load().token} },
			IsRight: func(sent harness.Call, a harness.Answer, began time.Time) bool {
				v := c.victim.Load()
				if sent.Token != v.token {
					return true // a token of the previous victim
				}
				if a.Status == http.StatusOK {
					at := v.acknowledged.Load()
					return at == nil || began.Before(at.Add(revokedTimeout))
				}
				return v.requested.Load() != nil && incorrect(sent, a, began)
			},
		},
	}
}

func (c *callers) register() harness.Call {
	r := harness.Post("/service/account/register", harness.Body{"username": harness.FreshName()}.JSON())
	r.Token = c.good
	return r
}

func (c *callers) isRegistered(sent harness.Call, a harness.Answer, _ time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registered = append(c.registered, strings.TrimSpace(a.Body))
	return a.Status == http.StatusCreated && strings.Contains(a.Body, strings.Trim(sent.Body, "{}"))
}

// verify demands that the database has every acknowledged account.
func (c *callers) verify(t *testing.T, db *sql.DB) {
	t.Helper()
	c.mu.Lock()
	acknowledged := c.registered
	c.mu.Unlock()
	const asAnswered = `SELECT string_agg('{"id":"' || id || '","username":"' || username || '"}', chr(10)) FROM accounts`
	there := map[string]bool{}
	for account := range strings.SplitSeq(harness.QueryText(t, db, asAnswered), "\n") {
		there[account] = true
	}
	for _, account := range acknowledged {
		if !there[account] {
			t.Errorf("acknowledged, but not in the database: %s", account)
		}
	}
	t.Logf("%d accounts were acknowledged, %d are in the database", len(acknowledged), len(there))
}
