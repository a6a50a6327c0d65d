package integration

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkJourney: a key is issued, used, narrowed, and revoked by another process.
func checkJourney(t *testing.T, tg *harness.Target) {
	tg.EveryKind(t, func(t *testing.T, tg *harness.Target, kind string) {
		client := harness.FreshName()
		key, object := tg.IssueKey(t, harness.Body{
			"client": client, "kind": kind, "scopes": []string{"storyspaces:read", "accounts:read", "accounts:read"},
		})
		if object.State != "enabled" || object.Client != client || object.ExpiresAt != "" || object.Rate != 0 || object.LastUsedAt != "" ||
			!slices.Equal(object.Scopes, []string{"accounts:read", "storyspaces:read"}) || object.RotatedTo != "" || object.RotatedFrom != "" {
			t.Errorf("issued %+v", object)
		}
		if tg.IsLocal() && key.Env != "live" {
			t.Errorf("a key made in production is of %q", key.Env)
		}
		var who harness.Whoami
		tg.Do(t, harness.Call{Path: "/service/whoami", Token: key.Token()}).Decode(t, &who)
		if who.Key != key.ID || who.Client != client || !slices.Equal(who.Scopes, object.Scopes) {
			t.Errorf("whoami: %+v", who)
		}
		token := key.Token()
		tg.ExpectToken(t, token, "")

		// A token's scope claim narrows, and never widens.
		const challenge = `Bearer realm="latchkey", error="insufficient_scope", scope=`
		narrow := tg.Do(t, harness.Call{Path: "/service/account/stevenm", Token: key.Scoped("storyspaces:read accounts:write")})
		narrow.IsRefused(t, http.StatusForbidden, "insufficient scope", challenge+`"accounts:read"`)
		wide := harness.Post("/service/account/register", `{"username":"`+harness.FreshName()+`"}`)
		wide.Token = key.Scoped(strings.Join(tg.EveryScope(t), " "))
		tg.Do(t, wide).IsRefused(t, http.StatusForbidden, "insufficient scope", challenge+`"accounts:write"`)

		if tg.CLI == nil {
			t.Log("NOT TESTED: the operator's part, there is no command line beside this target")
			return
		}
		var shown, served harness.KeyObject
		tg.MustRunJSON(t, &shown, "keys", "show", key.ID, "--json")
		tg.AsAdmin(t, http.MethodGet, "/service/keys/"+key.ID, "").Decode(t, &served)
		shown.LastUsedAt, served.LastUsedAt = "", "" // may be written in between
		if shown.ID != key.ID || shown.Hint != served.Hint || shown.Client != client || shown.CreatedAt != served.CreatedAt {
			t.Errorf("keys show prints %+v, the service answers %+v", shown, served)
		}

		tg.ExpectToken(t, token, "")
		tg.MustRun(t, "keys", "revoke", key.ID)
		revoked := time.Now()
		harness.Eventually(t, harness.StartTimeout, "the revocation is seen", func() bool {
			return tg.Do(t, harness.Call{Path: "/service/account/stevenm", Token: token}).Status == http.StatusUnauthorized
		})
		took := time.Since(revoked)
		t.Logf("revoked by another process: refused %d ms after it had ended", took.Milliseconds())
		if took > time.Second {
			t.Errorf("a key that another process revoked was accepted for %s", took)
		}
		tg.ExpectRefused(t, token)
		tg.ExpectRefused(t, key.Token())
		rows, printed := tg.AuditOf(t, key.ID), []harness.AuditEvent{}
		if len(rows) == 0 || rows[len(rows)-1].Actor != "cli" || rows[len(rows)-1].Action != "revoke" {
			t.Errorf("the audit says %+v", rows)
		}
		if tg.MustRunJSON(t, &printed, "keys", "audit", "--key", key.ID, "--json"); !slices.Equal(printed, rows) {
			t.Errorf("keys audit prints %+v, the service answers %+v", printed, rows)
		}

		// After --wait the service refuses the key at once.
		waited, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		token = waited.Token()
		tg.ExpectToken(t, token, "")
		var seen revocation
		tg.MustRunJSON(t, &seen, "keys", "revoke", waited.ID, "--wait", "--json")
		tg.ExpectRefused(t, token)
		seen.check(t, tg, waited)
	})
}

var (
	rateLimit       = regexp.MustCompile(`^"[^"]+";r=(\d+);t=(\d+)$`)
	rateLimitPolicy = regexp.MustCompile(`^"[^"]+";q=(\d+);w=(\d+)$`)
)

// checkLimits: a key has its own limit, its answers say what is left, and earlier refusals do not count.
func checkLimits(t *testing.T, tg *harness.Target) {
	tg.EveryKind(t, func(t *testing.T, tg *harness.Target, kind string) {
		const burst = 3
		scopes := []string{"accounts:read", "accounts:write"}
		key, object := tg.IssueKey(t, harness.Body{"kind": kind, "scopes": scopes, "rate": 0.001, "burst": burst})
		if object.Rate != 0.001 || object.Burst != burst {
			t.Errorf("issued %+v", object)
		}
		tg.Do(t, harness.Call{Path: "/service/whoami", Token: key.Forged(key.Good())}).Is(t, http.StatusUnauthorized, "")
		tg.Do(t, harness.Call{Path: "/service/account/stevenm", Token: key.Scoped("")}).Is(t, http.StatusForbidden, "")
		token := key.Token()
		for i := range burst {
			a := tg.Do(t, harness.Call{Path: "/service/account/stevenm", Token: token})
			a.Is(t, http.StatusOK, "")
			left := rateLimit.FindStringSubmatch(a.Header.Get("RateLimit"))
			policy := rateLimitPolicy.FindStringSubmatch(a.Header.Get("RateLimit-Policy"))
			if left == nil || policy == nil || left[1] != strconv.Itoa(burst-1-i) || policy[1] != strconv.Itoa(burst) || a.Header.Get("Retry-After") != "" {
				t.Errorf("call %d of %d: %v", i+1, burst, a.Header)
			}
		}
		// The limit counts for the key, not the token. It is checked after the scope, and before media type and body.
		tg.Do(t, harness.Call{Path: "/service/account/stevenm", Token: key.Scoped("")}).Is(t, http.StatusForbidden, "")
		broken := harness.Call{Method: http.MethodPost, Path: "/service/account/register", Body: "{", Header: map[string]string{"Content-Type": "text/plain"}}
		for _, c := range []harness.Call{{Path: "/service/account/stevenm"}, {Path: "/service/account/nobody-here"}, {Path: "/service/whoami"}, broken} {
			c.Token = key.Token()
			a := tg.Do(t, c)
			a.IsRefused(t, http.StatusTooManyRequests, "Too Many Requests", "")
			a.IsNotStored(t)
			wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
			left := rateLimit.FindStringSubmatch(a.Header.Get("RateLimit"))
			if err != nil || wait < 1 || wait > 1000 || left == nil || left[1] != "0" || !rateLimitPolicy.MatchString(a.Header.Get("RateLimit-Policy")) {
				t.Errorf("%s: 429 with %v", a.Call, a.Header)
			}
			for _, op := range tg.OpenAPI(t).Guarded() {
				if harness.PathMatches(op.Path, c.Path) && op.Method == max(c.Method, http.MethodGet) {
					a.FitsDocumentation(t, op)
				}
			}
		}
		// Other keys are not affected, and a key without a limit gets no RateLimit header.
		a := tg.Do(t, harness.Call{Path: "/service/whoami", Token: tg.FullKeys[kind].Token()})
		if a.Status != http.StatusOK || a.Header.Get("RateLimit") != "" || a.Header.Get("RateLimit-Policy") != "" {
			t.Errorf("a key without a limit: %d %v", a.Status, a.Header)
		}
		// With time the limit allows the next call.
		fast, _ := tg.IssueKey(t, harness.Body{"kind": kind, "rate": 10, "burst": 1})
		tg.ExpectToken(t, fast.Token(), "")
		harness.Eventually(t, harness.StartTimeout, "the limit lets the next call pass", func() bool {
			return tg.Do(t, harness.Call{Path: "/service/account/stevenm", Token: fast.Token()}).Status == http.StatusOK
		})
	})
}

// checkRotation: both keys work during the grace. After it, or at once without a grace, the old key is refused.
func checkRotation(t *testing.T, tg *harness.Target) {
	tg.EveryKind(t, func(t *testing.T, tg *harness.Target, kind string) {
		soon := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
		old, before := tg.IssueKey(t, harness.Body{"kind": kind, "rate": 1000, "burst": 50})
		tg.ExpectAccepted(t, old)
		made := tg.ReadCreated(t, tg.AsAdmin(t, http.MethodPost, "/service/keys/"+old.ID+"/rotate", `{"grace":"1h"}`))
		next, replaced := made.Object, made.Created.Replaces
		if made.Key.Kind != kind || next.Client != before.Client || !slices.Equal(next.Scopes, before.Scopes) || next.Rate != before.Rate ||
			next.Burst != before.Burst || next.RotatedFrom != old.ID || next.State != "enabled" || next.ExpiresAt != "" {
			t.Errorf("%+v is no successor of %+v", next, before)
		}
		if replaced == nil || replaced.ID != old.ID || replaced.RotatedTo != next.ID || !within(t, replaced.ExpiresAt, time.Hour) {
			t.Errorf("replaces: %+v", replaced)
		}
		tg.ExpectAccepted(t, old)
		tg.ExpectAccepted(t, made.Key)

		// The grace never extends the life of the old key.
		brief, _ := tg.IssueKey(t, harness.Body{"kind": kind, "expires_at": soon.Format(time.RFC3339)})
		kept := tg.ReadCreated(t, tg.AsAdmin(t, http.MethodPost, "/service/keys/"+brief.ID+"/rotate", ""))
		if kept.Created.Replaces == nil || kept.Created.Replaces.ExpiresAt != soon.Format(time.RFC3339) {
			t.Errorf("the default grace of a key until %s: %+v", soon, kept.Created.Replaces)
		}
		day, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		kept = tg.ReadCreated(t, tg.AsAdmin(t, http.MethodPost, "/service/keys/"+day.ID+"/rotate", `{}`))
		if kept.Created.Replaces == nil || !within(t, kept.Created.Replaces.ExpiresAt, 24*time.Hour) {
			t.Errorf("the default grace: %+v", kept.Created.Replaces)
		}

		// A leaked key, rotated without grace: the next call is refused, even with a cached token.
		leaked, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		token := leaked.Token()
		tg.ExpectToken(t, token, "")
		made = tg.ReadCreated(t, tg.AsAdmin(t, http.MethodPost, "/service/keys/"+leaked.ID+"/rotate", `{"grace":"0s"}`))
		tg.ExpectRefused(t, token)
		tg.ExpectAccepted(t, made.Key)
		for _, id := range []string{leaked.ID, old.ID} {
			tg.AsAdmin(t, http.MethodPost, "/service/keys/"+id+"/rotate", "").IsError(t, http.StatusConflict)
		}
		checkTwoRotations(t, tg, kind)
	})
}

// within reports whether text is the time d from now, to the minute.
func within(t *testing.T, text string, d time.Duration) bool {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !strings.HasSuffix(text, "Z") {
		t.Errorf("not a time in UTC: %q", text)
		return false
	}
	return (time.Until(at) - d).Abs() < time.Minute
}

// checkTwoRotations: of two concurrent rotations one succeeds, and there is one successor.
func checkTwoRotations(t *testing.T, tg *harness.Target, kind string) {
	t.Helper()
	for range 5 {
		key, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		answers := make(chan harness.Answer, 2)
		for range cap(answers) {
			go func() {
				a, err := tg.Try(t, harness.Call{Method: http.MethodPost, Path: "/service/keys/" + key.ID + "/rotate", Token: tg.Admin.Token()})
				if err != nil {
					t.Error(err)
				}
				answers <- a
			}()
		}
		one, two := <-answers, <-answers
		if one.Status > two.Status {
			one, two = two, one
		}
		made := tg.ReadCreated(t, one)
		two.IsError(t, http.StatusConflict)
		var object harness.KeyObject
		tg.AsAdmin(t, http.MethodGet, "/service/keys/"+key.ID, "").Decode(t, &object)
		if object.RotatedTo != made.Key.ID {
			t.Errorf("the successor is %s, but the key says %+v", made.Key.ID, object)
		}
	}
}

// checkDisable: a disabled key is refused from the next call on, until it is enabled.
func checkDisable(t *testing.T, tg *harness.Target) {
	tg.EveryKind(t, func(t *testing.T, tg *harness.Target, kind string) {
		key, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		token := key.Token()
		for range 3 {
			tg.ExpectToken(t, token, "")
			for range 2 { // disabling twice changes nothing
				if object := tg.ChangeKey(t, key, "disable"); object.State != "disabled" || object.ID != key.ID {
					t.Errorf("disabled: %+v", object)
				}
				tg.ExpectRefused(t, token)
			}
			for range 2 {
				if object := tg.ChangeKey(t, key, "enable"); object.State != "enabled" || object.ID != key.ID {
					t.Errorf("enabled: %+v", object)
				}
				tg.ExpectToken(t, token, "")
			}
		}
	})
}

// checkRevocation: a revoked key is refused even with a cached token, and a revocation is final.
func checkRevocation(t *testing.T, tg *harness.Target) {
	tg.EveryKind(t, func(t *testing.T, tg *harness.Target, kind string) {
		key, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		token := key.Token()
		warm := harness.Call{Path: "/service/account/stevenm", Auth: []string{token}}
		for i := range 1000 {
			if a := tg.Do(t, warm); a.Status != http.StatusOK {
				t.Fatalf("call %d: %d %s", i+1, a.Status, a.Body)
			}
		}
		if object := tg.ChangeKey(t, key, "revoke"); object.State != "revoked" {
			t.Errorf("revoked: %+v", object)
		}
		tg.ExpectRefused(t, token)
		tg.ExpectRefused(t, key.Token())
		if object := tg.ChangeKey(t, key, "revoke"); object.State != "revoked" {
			t.Errorf("revoked again: %+v", object)
		}
		for _, verb := range []string{"enable", "disable", "rotate"} {
			tg.AsAdmin(t, http.MethodPost, "/service/keys/"+key.ID+"/"+verb, "").IsError(t, http.StatusConflict)
		}
		tg.ExpectRefused(t, token)

		waited, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		tg.ExpectAccepted(t, waited)
		a := tg.AsAdmin(t, http.MethodPost, "/service/keys/"+waited.ID+"/revoke?wait=true", "")
		a.Is(t, http.StatusOK, "")
		var seen revocation
		a.Decode(t, &seen)
		seen.check(t, tg, waited)
		for _, op := range tg.OpenAPI(t).Guarded() {
			if op.Name() == "POST /service/keys/{id}/revoke" {
				a.FitsDocumentation(t, op)
			}
		}
		tg.ExpectRefused(t, waited.Token())
	})
}

// revocation is the answer to a revocation with wait=true.
type revocation struct {
	Key       harness.KeyObject `json:"key"`
	Confirmed []struct {
		Instance string `json:"instance"`
		MS       *int   `json:"ms"`
	} `json:"confirmed"`
	Late []string `json:"late"`
}

// check demands that the key is revoked, and that the confirmations are complete.
func (r revocation) check(t *testing.T, tg *harness.Target, key harness.Key) {
	t.Helper()
	if r.Key.ID != key.ID || r.Key.State != "revoked" || r.Late == nil || len(r.Confirmed) == 0 {
		t.Errorf("a revocation that waits: %+v", r)
	}
	for _, one := range r.Confirmed {
		if one.Instance == "" || one.MS == nil || *one.MS < 0 || *one.MS > 3000 {
			t.Errorf("a revocation that waits: %+v", r)
		}
	}
	if tg.IsLocal() && len(r.Late) != 0 {
		t.Errorf("the only instance was late: %+v", r)
	}
}
