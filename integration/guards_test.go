package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkAcceptance: each guarded operation, called as documented with a good token of a key of each sort, succeeds with
// what is documented; also as the bare token that older clients send, and whatever the case of the scheme.
func checkAcceptance(t *testing.T, tg *target) {
	for _, op := range tg.openapi(t).guarded() {
		holders := tg.holders(tg.needs(t, op))
		if len(holders) == 0 {
			t.Logf("NOT TESTED: %s, there is no key for it", op.name())
		}
		for name, holder := range holders {
			for _, scheme := range []string{"Bearer ", "", "bearer ", "BEARER "} {
				c := tg.request(t, op)
				c.auth = []string{scheme + holder.token()}
				a := tg.do(t, c)
				if a.status/100 != 2 {
					t.Errorf("%s with %q, key %s: %d %s", op.name(), scheme, name, a.status, a.body)
					continue
				}
				a.isJSON(t)
				a.fitsDocumentation(t, op)
				a.notStored(t)
				if a.status == http.StatusCreated && a.header.Get("Location") == "" {
					t.Errorf("%s: 201 without Location", op.name())
				}
			}
			for about, token := range acceptedTokens(tg, holder) {
				c := tg.request(t, op)
				c.token = token
				if a := tg.do(t, c); a.status/100 != 2 {
					t.Errorf("%s, key %s, %s: %d %s", op.name(), name, about, a.status, a.body)
				}
			}
		}
	}
}

// acceptedTokens are unusual, and right.
func acceptedTokens(tg *target, holder credential) map[string]string {
	now := time.Now().Unix()
	good := holder.good()
	tokens := map[string]string{
		"aud in a list":           holder.jwt(good.with("aud", []string{"other", holder.audience})),
		"aud alone in a list":     holder.jwt(good.with("aud", []string{holder.audience})),
		"nbf instead of iat":      holder.jwt(good.without("iat").with("nbf", now)),
		"unknown claims":          holder.jwt(good.with("role", "admin").with("extra", map[string]any{"a": []int{1}})),
		"every registered claim":  holder.jwt(good.with("iss", "me").with("sub", "you").with("jti", "1").with("nbf", now)),
		"a fraction of a second":  holder.jwt(good.with("exp", float64(now)+60.5)),
		"names in capitals":       holder.jwt(good.with("EXP", 1).with("Aud", "x").with("APIKEY", "x")),
		"header without typ":      holder.sign(strings.Replace(holder.header, `,"typ":"JWT"`, "", 1), good.json()),
		"white space in the JSON": holder.sign(" "+strings.ReplaceAll(holder.header, ":", " : ")+"\n", " "+good.json()+"\n"),
	}
	if tg.local() { // a deployment may allow less leeway than the default 30 s
		tokens["a clock 20 s ahead"] = holder.jwt(good.with("iat", now+20))
		tokens["expired 20 s ago"] = holder.jwt(good.with("iat", now-60).with("exp", now-20))
	}
	return tokens
}

// checkScopes: a token narrowed to the needed scope passes, one narrowed to all others is told which one it lacks. The
// shared key may not administrate keys, whatever its tokens claim.
func checkScopes(t *testing.T, tg *target) {
	everyScope := tg.everyScope(t)
	for _, op := range tg.openapi(t).guarded() {
		needed := tg.needs(t, op)
		if want, ok := designed[op.name()]; ok && needed != want {
			t.Errorf("%s needs scope %q, want %q", op.name(), needed, want)
		}
		if needed == "" {
			if op.documents(http.StatusForbidden) {
				t.Errorf("%s needs no scope, but 403 is documented", op.name())
			}
			for _, holder := range tg.holders(needed) {
				c := tg.request(t, op)
				c.token = holder.scoped("")
				tg.do(t, c).is(t, http.StatusOK, "")
			}
			continue
		}
		if !slices.Contains(everyScope, needed) {
			t.Errorf("%s needs scope %q, which is none of the closed set", op.name(), needed)
		}
		others := slices.DeleteFunc(slices.Clone(everyScope), func(s string) bool { return s == needed })
		narrowed := []string{}
		holders := tg.holders(needed)
		for _, holder := range holders {
			for _, scope := range []string{"", strings.Join(others, " "), "admin", "*", strings.ToUpper(needed), needed + "x"} {
				narrowed = append(narrowed, holder.scoped(scope))
			}
			for _, scope := range []string{needed, needed + " nobody:knows", strings.Join(everyScope, " ")} {
				c := tg.request(t, op)
				c.token = holder.scoped(scope)
				if a := tg.do(t, c); a.status/100 != 2 {
					t.Errorf("%s with scope %q: %d %s", op.name(), scope, a.status, a.body)
				}
			}
		}
		if _, ok := holders["shared"]; !ok {
			narrowed = append(narrowed, tg.secrets.token(), tg.secrets.scoped(needed), tg.secrets.scoped(strings.Join(everyScope, " ")))
		}
		if tg.administered() && needed != "keys:admin" {
			narrowed = append(narrowed, tg.admin.token(), tg.admin.scoped(needed))
		}
		for _, token := range narrowed {
			c := op.mustRequest(t)
			c.token = token
			a := tg.do(t, c)
			a.refused(t, http.StatusForbidden, "insufficient scope",
				`Bearer realm="latchkey", error="insufficient_scope", scope="`+needed+`"`)
			a.fitsDocumentation(t, op)
			a.notStored(t)
		}
	}
}
