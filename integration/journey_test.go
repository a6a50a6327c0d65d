package integration

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// checkJourney: a client's key from the day it is issued to the day an operator revokes it from another process.
func checkJourney(t *testing.T, tg *target) {
	tg.everyKind(t, func(t *testing.T, tg *target, kind string) {
		client := freshName()
		key, object := tg.issue(t, request{
			"client": client, "kind": kind, "scopes": []string{"storyspaces:read", "accounts:read", "accounts:read"},
		})
		if object.State != "enabled" || object.Client != client || object.ExpiresAt != "" || object.Rate != 0 || object.LastUsedAt != "" ||
			!slices.Equal(object.Scopes, []string{"accounts:read", "storyspaces:read"}) || object.RotatedTo != "" || object.RotatedFrom != "" {
			t.Errorf("issued %+v", object)
		}
		if tg.local() && key.env != "live" {
			t.Errorf("a key made in production is of %q", key.env)
		}
		var who whoami
		tg.do(t, call{path: "/service/whoami", token: key.token()}).decode(t, &who)
		if who.Key != key.id || who.Client != client || !slices.Equal(who.Scopes, object.Scopes) {
			t.Errorf("whoami: %+v", who)
		}
		token := key.token()
		tg.expects(t, token, "")

		// A token's scope claim narrows, and never widens.
		const challenge = `Bearer realm="latchkey", error="insufficient_scope", scope=`
		narrow := tg.do(t, call{path: "/service/account/stevenm", token: key.scoped("storyspaces:read accounts:write")})
		narrow.refused(t, http.StatusForbidden, "insufficient scope", challenge+`"accounts:read"`)
		wide := post("/service/account/register", `{"username":"`+freshName()+`"}`)
		wide.token = key.scoped(strings.Join(tg.everyScope(t), " "))
		tg.do(t, wide).refused(t, http.StatusForbidden, "insufficient scope", challenge+`"accounts:write"`)

		if tg.cli == nil {
			t.Log("NOT TESTED: the operator's part, there is no command line beside this target")
			return
		}
		var shown, served keyObject
		tg.latchkeyJSON(t, &shown, "keys", "show", key.id, "--json")
		tg.administer(t, http.MethodGet, "/service/keys/"+key.id, "").decode(t, &served)
		shown.LastUsedAt, served.LastUsedAt = "", "" // may be written in between
		if shown.ID != key.id || shown.Hint != served.Hint || shown.Client != client || shown.CreatedAt != served.CreatedAt {
			t.Errorf("keys show prints %+v, the service answers %+v", shown, served)
		}

		tg.expects(t, token, "")
		tg.latchkey(t, "keys", "revoke", key.id)
		revoked := time.Now()
		eventually(t, startLimit, "the revocation is seen", func() bool {
			return tg.do(t, call{path: "/service/account/stevenm", token: token}).status == http.StatusUnauthorized
		})
		took := time.Since(revoked)
		t.Logf("revoked by another process: refused %d ms after it had ended", took.Milliseconds())
		if took > time.Second {
			t.Errorf("a key that another process revoked was accepted for %s", took)
		}
		tg.barred(t, token)
		tg.barred(t, key.token())
		rows, printed := tg.audited(t, key.id), []event{}
		if len(rows) == 0 || rows[len(rows)-1].Actor != "cli" || rows[len(rows)-1].Action != "revoke" {
			t.Errorf("the audit says %+v", rows)
		}
		if tg.latchkeyJSON(t, &printed, "keys", "audit", "--key", key.id, "--json"); !slices.Equal(printed, rows) {
			t.Errorf("keys audit prints %+v, the service answers %+v", printed, rows)
		}

		// Who waits for the service to have seen it need not wait any longer.
		waited, _ := tg.issue(t, request{"kind": kind})
		token = waited.token()
		tg.expects(t, token, "")
		var seen revocation
		tg.latchkeyJSON(t, &seen, "keys", "revoke", waited.id, "--wait", "--json")
		tg.barred(t, token)
		seen.check(t, tg, waited)
	})
}

var (
	rateLimit       = regexp.MustCompile(`^"[^"]+";r=(\d+);t=(\d+)$`)
	rateLimitPolicy = regexp.MustCompile(`^"[^"]+";q=(\d+);w=(\d+)$`)
)

// checkLimits: a key has its own limit, is told where it stands, and what is refused before costs nothing.
func checkLimits(t *testing.T, tg *target) {
	tg.everyKind(t, func(t *testing.T, tg *target, kind string) {
		const burst = 3
		scopes := []string{"accounts:read", "accounts:write"}
		key, object := tg.issue(t, request{"kind": kind, "scopes": scopes, "rate": 0.001, "burst": burst})
		if object.Rate != 0.001 || object.Burst != burst {
			t.Errorf("issued %+v", object)
		}
		tg.do(t, call{path: "/service/whoami", token: key.forged(key.good())}).is(t, http.StatusUnauthorized, "")
		tg.do(t, call{path: "/service/account/stevenm", token: key.scoped("")}).is(t, http.StatusForbidden, "")
		token := key.token()
		for i := range burst {
			a := tg.do(t, call{path: "/service/account/stevenm", token: token})
			a.is(t, http.StatusOK, "")
			left := rateLimit.FindStringSubmatch(a.header.Get("RateLimit"))
			policy := rateLimitPolicy.FindStringSubmatch(a.header.Get("RateLimit-Policy"))
			if left == nil || policy == nil || left[1] != strconv.Itoa(burst-1-i) || policy[1] != strconv.Itoa(burst) || a.header.Get("Retry-After") != "" {
				t.Errorf("call %d of %d: %v", i+1, burst, a.header)
			}
		}
		// The limit is the key's, not the token's; and it comes after the scope, and before media type and body.
		tg.do(t, call{path: "/service/account/stevenm", token: key.scoped("")}).is(t, http.StatusForbidden, "")
		broken := call{method: http.MethodPost, path: "/service/account/register", body: "{", header: map[string]string{"Content-Type": "text/plain"}}
		for _, c := range []call{{path: "/service/account/stevenm"}, {path: "/service/account/nobody-here"}, {path: "/service/whoami"}, broken} {
			c.token = key.token()
			a := tg.do(t, c)
			a.refused(t, http.StatusTooManyRequests, "Too Many Requests", "")
			a.notStored(t)
			wait, err := strconv.Atoi(a.header.Get("Retry-After"))
			left := rateLimit.FindStringSubmatch(a.header.Get("RateLimit"))
			if err != nil || wait < 1 || wait > 1000 || left == nil || left[1] != "0" || !rateLimitPolicy.MatchString(a.header.Get("RateLimit-Policy")) {
				t.Errorf("%s: 429 with %v", a.call, a.header)
			}
			for _, op := range tg.openapi(t).guarded() {
				if matches(op.path, c.path) && op.method == max(c.method, http.MethodGet) {
					a.fitsDocumentation(t, op)
				}
			}
		}
		// Another key is not touched, and one without a limit is told of none.
		a := tg.do(t, call{path: "/service/whoami", token: tg.every[kind].token()})
		if a.status != http.StatusOK || a.header.Get("RateLimit") != "" || a.header.Get("RateLimit-Policy") != "" {
			t.Errorf("a key without a limit: %d %v", a.status, a.header)
		}
		// Whoever earns a call may make it.
		fast, _ := tg.issue(t, request{"kind": kind, "rate": 10, "burst": 1})
		tg.expects(t, fast.token(), "")
		eventually(t, startLimit, "the limit lets the next call pass", func() bool {
			return tg.do(t, call{path: "/service/account/stevenm", token: fast.token()}).status == http.StatusOK
		})
	})
}

// checkRotation: for the grace both keys work; then, and at once without grace, the old one does not.
func checkRotation(t *testing.T, tg *target) {
	tg.everyKind(t, func(t *testing.T, tg *target, kind string) {
		soon := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
		old, before := tg.issue(t, request{"kind": kind, "rate": 1000, "burst": 50})
		tg.passes(t, old)
		made := tg.made(t, tg.administer(t, http.MethodPost, "/service/keys/"+old.id+"/rotate", `{"grace":"1h"}`))
		next, replaced := made.object, made.whole.Replaces
		if made.key.kind != kind || next.Client != before.Client || !slices.Equal(next.Scopes, before.Scopes) || next.Rate != before.Rate ||
			next.Burst != before.Burst || next.RotatedFrom != old.id || next.State != "enabled" || next.ExpiresAt != "" {
			t.Errorf("%+v is no successor of %+v", next, before)
		}
		if replaced == nil || replaced.ID != old.id || replaced.RotatedTo != next.ID || !within(t, replaced.ExpiresAt, time.Hour) {
			t.Errorf("replaces: %+v", replaced)
		}
		tg.passes(t, old)
		tg.passes(t, made.key)

		// The grace ends when the key would have, if that is sooner.
		brief, _ := tg.issue(t, request{"kind": kind, "expires_at": soon.Format(time.RFC3339)})
		kept := tg.made(t, tg.administer(t, http.MethodPost, "/service/keys/"+brief.id+"/rotate", ""))
		if kept.whole.Replaces == nil || kept.whole.Replaces.ExpiresAt != soon.Format(time.RFC3339) {
			t.Errorf("the default grace of a key until %s: %+v", soon, kept.whole.Replaces)
		}
		day, _ := tg.issue(t, request{"kind": kind})
		kept = tg.made(t, tg.administer(t, http.MethodPost, "/service/keys/"+day.id+"/rotate", `{}`))
		if kept.whole.Replaces == nil || !within(t, kept.whole.Replaces.ExpiresAt, 24*time.Hour) {
			t.Errorf("the default grace: %+v", kept.whole.Replaces)
		}

		// A leak: the very next call is refused, however warm the token.
		leaked, _ := tg.issue(t, request{"kind": kind})
		token := leaked.token()
		tg.expects(t, token, "")
		made = tg.made(t, tg.administer(t, http.MethodPost, "/service/keys/"+leaked.id+"/rotate", `{"grace":"0s"}`))
		tg.barred(t, token)
		tg.passes(t, made.key)
		for _, id := range []string{leaked.id, old.id} {
			tg.administer(t, http.MethodPost, "/service/keys/"+id+"/rotate", "").says(t, http.StatusConflict)
		}
		checkTwoRotations(t, tg, kind)
	})
}

// within says whether the text is the time that is d from now, give or take what a slow machine needs.
func within(t *testing.T, text string, d time.Duration) bool {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !strings.HasSuffix(text, "Z") {
		t.Errorf("not a time in UTC: %q", text)
		return false
	}
	return (time.Until(at) - d).Abs() < time.Minute
}

// checkTwoRotations: of two at once one wins, and there is one successor.
func checkTwoRotations(t *testing.T, tg *target, kind string) {
	t.Helper()
	for range 5 {
		key, _ := tg.issue(t, request{"kind": kind})
		answers := make(chan answer, 2)
		for range cap(answers) {
			go func() {
				a, err := tg.try(t, call{method: http.MethodPost, path: "/service/keys/" + key.id + "/rotate", token: tg.admin.token()})
				if err != nil {
					t.Error(err)
				}
				answers <- a
			}()
		}
		one, two := <-answers, <-answers
		if one.status > two.status {
			one, two = two, one
		}
		made := tg.made(t, one)
		two.says(t, http.StatusConflict)
		var object keyObject
		tg.administer(t, http.MethodGet, "/service/keys/"+key.id, "").decode(t, &object)
		if object.RotatedTo != made.key.id {
			t.Errorf("the successor is %s, but the key says %+v", made.key.id, object)
		}
	}
}

// checkDisable: a disabled key is refused at the very next call, until it is enabled.
func checkDisable(t *testing.T, tg *target) {
	tg.everyKind(t, func(t *testing.T, tg *target, kind string) {
		key, _ := tg.issue(t, request{"kind": kind})
		token := key.token()
		for range 3 {
			tg.expects(t, token, "")
			for range 2 { // disabling what is disabled changes nothing
				if object := tg.change(t, key, "disable"); object.State != "disabled" || object.ID != key.id {
					t.Errorf("disabled: %+v", object)
				}
				tg.barred(t, token)
			}
			for range 2 {
				if object := tg.change(t, key, "enable"); object.State != "enabled" || object.ID != key.id {
					t.Errorf("enabled: %+v", object)
				}
				tg.expects(t, token, "")
			}
		}
	})
}

// checkRevocation: a revocation beats a token that was accepted a thousand times, and is final.
func checkRevocation(t *testing.T, tg *target) {
	tg.everyKind(t, func(t *testing.T, tg *target, kind string) {
		key, _ := tg.issue(t, request{"kind": kind})
		token := key.token()
		warm := call{path: "/service/account/stevenm", auth: []string{token}}
		for i := range 1000 {
			if a := tg.do(t, warm); a.status != http.StatusOK {
				t.Fatalf("call %d: %d %s", i+1, a.status, a.body)
			}
		}
		if object := tg.change(t, key, "revoke"); object.State != "revoked" {
			t.Errorf("revoked: %+v", object)
		}
		tg.barred(t, token)
		tg.barred(t, key.token())
		if object := tg.change(t, key, "revoke"); object.State != "revoked" {
			t.Errorf("revoked again: %+v", object)
		}
		for _, verb := range []string{"enable", "disable", "rotate"} {
			tg.administer(t, http.MethodPost, "/service/keys/"+key.id+"/"+verb, "").says(t, http.StatusConflict)
		}
		tg.barred(t, token)

		waited, _ := tg.issue(t, request{"kind": kind})
		tg.passes(t, waited)
		a := tg.administer(t, http.MethodPost, "/service/keys/"+waited.id+"/revoke?wait=true", "")
		a.is(t, http.StatusOK, "")
		var seen revocation
		a.decode(t, &seen)
		seen.check(t, tg, waited)
		for _, op := range tg.openapi(t).guarded() {
			if op.name() == "POST /service/keys/{id}/revoke" {
				a.fitsDocumentation(t, op)
			}
		}
		tg.barred(t, waited.token())
	})
}

// revocation is the answer to a revocation that waits for every instance to have seen it.
type revocation struct {
	Key       keyObject `json:"key"`
	Confirmed []struct {
		Instance string `json:"instance"`
		MS       *int   `json:"ms"`
	} `json:"confirmed"`
	Late []string `json:"late"`
}

// check demands that the key is revoked, and that who has seen it, and when, is told.
func (r revocation) check(t *testing.T, tg *target, key clientKey) {
	t.Helper()
	if r.Key.ID != key.id || r.Key.State != "revoked" || r.Late == nil || len(r.Confirmed) == 0 {
		t.Errorf("a revocation that waits: %+v", r)
	}
	for _, one := range r.Confirmed {
		if one.Instance == "" || one.MS == nil || *one.MS < 0 || *one.MS > 3000 {
			t.Errorf("a revocation that waits: %+v", r)
		}
	}
	if tg.local() && len(r.Late) != 0 {
		t.Errorf("the one instance there is was late: %+v", r)
	}
}
