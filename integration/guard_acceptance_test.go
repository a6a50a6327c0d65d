package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// checkAcceptance: each guarded operation succeeds as documented, with a valid token of each kind of key. The token may be
// bare, as older clients send it, and the scheme may be in any case.
func checkAcceptance(t *testing.T, tg *harness.Target) {
	for _, op := range tg.OpenAPI(t).Guarded() {
		holders := tg.CredentialsFor(tg.ScopeOf(t, op))
		if len(holders) == 0 {
			t.Logf("NOT TESTED: %s, there is no key for it", op.Name())
		}
		for name, holder := range holders {
			for _, scheme := range []string{"Bearer ", "", "bearer ", "BEARER "} {
				c := tg.RequestFor(t, op)
				c.Auth = []string{scheme + holder.Token()}
				a := tg.Do(t, c)
				if a.Status/100 != 2 {
					t.Errorf("%s with %q, key %s: %d %s", op.Name(), scheme, name, a.Status, a.Body)
					continue
				}
				a.IsJSON(t)
				a.FitsDocumentation(t, op)
				a.IsNotStored(t)
				if a.Status == http.StatusCreated && a.Header.Get("Location") == "" {
					t.Errorf("%s: 201 without Location", op.Name())
				}
			}
			for about, token := range acceptedTokens(tg, holder) {
				c := tg.RequestFor(t, op)
				c.Token = token
				if a := tg.Do(t, c); a.Status/100 != 2 {
					t.Errorf("%s, key %s, %s: %d %s", op.Name(), name, about, a.Status, a.Body)
				}
			}
		}
	}
}

// acceptedTokens are unusual, but valid.
func acceptedTokens(tg *harness.Target, holder harness.Credential) map[string]string {
	now := time.Now().Unix()
	good := holder.Good()
	tokens := map[string]string{
		"aud in a list":           holder.JWT(good.With("aud", []string{"other", holder.Audience})),
		"aud alone in a list":     holder.JWT(good.With("aud", []string{holder.Audience})),
		"nbf instead of iat":      holder.JWT(good.Without("iat").With("nbf", now)),
		"unknown claims":          holder.JWT(good.With("role", "admin").With("extra", map[string]any{"a": []int{1}})),
		"every registered claim":  holder.JWT(good.With("iss", "me").With("sub", "you").With("jti", "1").With("nbf", now)),
		"a fraction of a second":  holder.JWT(good.With("exp", float64(now)+60.5)),
		"names in capitals":       holder.JWT(good.With("EXP", 1).With("Aud", "x").With("APIKEY", "x")),
		"header without typ":      holder.Sign(strings.Replace(holder.Header, `,"typ":"JWT"`, "", 1), good.JSON()),
		"white space in the JSON": holder.Sign(" "+strings.ReplaceAll(holder.Header, ":", " : ")+"\n", " "+good.JSON()+"\n"),
	}
	if tg.IsLocal() { // a deployment may allow less leeway than the default 30 s
		tokens["a clock 20 s ahead"] = holder.JWT(good.With("iat", now+20))
		tokens["expired 20 s ago"] = holder.JWT(good.With("iat", now-60).With("exp", now-20))
	}
	return tokens
}

// checkScopes: a token with the needed scope passes. A token with all other scopes gets a 403 that names the missing one. The
// shared key never has keys:admin, whatever its tokens claim.
func checkScopes(t *testing.T, tg *harness.Target) {
	everyScope := tg.EveryScope(t)
	for _, op := range tg.OpenAPI(t).Guarded() {
		needed := tg.ScopeOf(t, op)
		if want, ok := designed[op.Name()]; ok && needed != want {
			t.Errorf("%s needs scope %q, want %q", op.Name(), needed, want)
		}
		if needed == "" {
			if op.Documents(http.StatusForbidden) {
				t.Errorf("%s needs no scope, but 403 is documented", op.Name())
			}
			for _, holder := range tg.CredentialsFor(needed) {
				c := tg.RequestFor(t, op)
				c.Token = holder.Scoped("")
				tg.Do(t, c).Is(t, http.StatusOK, "")
			}
			continue
		}
		if !slices.Contains(everyScope, needed) {
			t.Errorf("%s needs scope %q, which does not exist", op.Name(), needed)
		}
		others := slices.DeleteFunc(slices.Clone(everyScope), func(s string) bool { return s == needed })
		narrowed := []string{}
		holders := tg.CredentialsFor(needed)
		for _, holder := range holders {
			for _, scope := range []string{"", strings.Join(others, " "), "admin", "*", strings.ToUpper(needed), needed + "x"} {
				narrowed = append(narrowed, holder.Scoped(scope))
			}
			for _, scope := range []string{needed, needed + " nobody:knows", strings.Join(everyScope, " ")} {
				c := tg.RequestFor(t, op)
				c.Token = holder.Scoped(scope)
				if a := tg.Do(t, c); a.Status/100 != 2 {
					t.Errorf("%s with scope %q: %d %s", op.Name(), scope, a.Status, a.Body)
				}
			}
		}
		if _, ok := holders["shared"]; !ok {
			narrowed = append(narrowed, tg.Secrets.Token(), tg.Secrets.Scoped(needed), tg.Secrets.Scoped(strings.Join(everyScope, " ")))
		}
		if tg.HasAdmin() && needed != "keys:admin" {
			narrowed = append(narrowed, tg.Admin.Token(), tg.Admin.Scoped(needed))
		}
		for _, token := range narrowed {
			c := op.MustRequest(t)
			c.Token = token
			a := tg.Do(t, c)
			a.IsRefused(t, http.StatusForbidden, "insufficient scope",
				`Bearer realm="latchkey", error="insufficient_scope", scope="`+needed+`"`)
			a.FitsDocumentation(t, op)
			a.IsNotStored(t)
		}
	}
}
