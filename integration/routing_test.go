package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// garbage is a token that must not matter.
const garbage = "no.token.atall"

// checkRouting: an unknown path is 404 for everybody, and paths are case-sensitive.
func checkRouting(t *testing.T, tg *harness.Target) {
	for _, path := range []string{
		"/nothing", "/service", "/service/nothing", "/service/account/stevenm/more", "/service/storyspaces/1/2",
		"/service/whoami/x", "/accounts", "/favicon.ico", "/.env", "/.git/config", "/metrics", "/debug/pprof/",
		"/Service/whoami", "/service/WHOAMI", "/service/Account/stevenm", "/LIVEZ", "/Docs", "/openapi.JSON",
		"/service/whoam%49", "/service/whoami.", "/service/whoamix", "/servicex/whoami",
	} {
		for _, token := range []string{"", garbage, tg.Secrets.Token()} {
			tg.Do(t, harness.Call{Path: path, Token: token}).IsError(t, http.StatusNotFound)
		}
		tg.Do(t, harness.Call{Method: http.MethodPost, Path: path}).IsError(t, http.StatusNotFound)
	}
}

// checkMethods: an unknown method of a path is 405 for everybody, with Allow.
func checkMethods(t *testing.T, tg *harness.Target) {
	doc := tg.OpenAPI(t)
	for _, path := range []string{"/docs", "/openapi.json"} { // the documentation need not document itself
		doc.Operations = append(doc.Operations, harness.Operation{Method: http.MethodGet, Path: path})
	}
	for _, op := range doc.Operations {
		c := op.MustRequest(t)
		path, _, _ := strings.Cut(c.Path, "?")
		want := doc.Methods(path)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"} {
			if slices.Contains(want, method) {
				continue
			}
			for _, token := range []string{"", garbage, tg.Secrets.Token()} {
				a := tg.Do(t, harness.Call{Method: method, Path: path, Token: token})
				if method == "HEAD" {
					a.Is(t, http.StatusMethodNotAllowed, "")
				} else {
					a.IsError(t, http.StatusMethodNotAllowed)
				}
				got := strings.Split(strings.ReplaceAll(strings.Join(a.Header.Values("Allow"), ","), " ", ""), ",")
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("%s: 405 with Allow %q, want %q", a.Call, got, want)
				}
			}
		}
	}
}

// checkSlashes: a path works with and without a trailing slash, and is never redirected.
func checkSlashes(t *testing.T, tg *harness.Target) {
	for _, op := range tg.OpenAPI(t).Operations {
		for _, slash := range []string{"", "/"} {
			c := op.MustRequest(t)
			var holder harness.Credential
			if op.IsGuarded() {
				var ok bool
				if holder, ok = tg.CredentialFor(tg.ScopeOf(t, op)); !ok {
					continue
				}
				c = tg.RequestFor(t, op)
			}
			path, query, hasQuery := strings.Cut(c.Path, "?")
			c.Path = strings.TrimSuffix(path, "/") + slash
			if c.Path == "" {
				c.Path = "/" // a request has no empty path
			}
			if hasQuery {
				c.Path += "?" + query
			}
			if op.IsGuarded() {
				if a := tg.Do(t, c); a.Status != http.StatusUnauthorized {
					t.Errorf("%s without token: %d %s, want 401", a.Call, a.Status, a.Body)
				}
				c.Token = holder.Token()
			}
			if a := tg.Do(t, c); a.Status/100 != 2 {
				t.Errorf("%s: %d %s", a.Call, a.Status, a.Body)
			}
		}
	}
}

// checkHead: HEAD answers as GET, without a body.
func checkHead(t *testing.T, tg *harness.Target) {
	for _, op := range tg.OpenAPI(t).Operations {
		if op.Method != http.MethodGet {
			continue
		}
		tokens := []string{""}
		if holder, ok := tg.CredentialFor(tg.ScopeOf(t, op)); ok {
			tokens = append(tokens, holder.Token())
		}
		for _, token := range tokens {
			c := tg.RequestFor(t, op)
			c.Token = token
			get, head := getAndHead(t, tg, c)
			head.Is(t, get.Status, "")
			for _, name := range []string{"Content-Type", "WWW-Authenticate", "Cache-Control", "ETag", "Content-Length"} {
				if head.Header.Get(name) != get.Header.Get(name) {
					t.Errorf("%s: %s %q, GET has %q", head.Call, name, head.Header.Get(name), get.Header.Get(name))
				}
			}
			if head.Body != "" {
				t.Errorf("%s: a body: %s", head.Call, head.Body)
			}
		}
	}
}

// getAndHead are the answers to both methods. It retries until the object did not change in between.
func getAndHead(t *testing.T, tg *harness.Target, c harness.Call) (get, head harness.Answer) {
	t.Helper()
	harness.Eventually(t, harness.StartTimeout, "two answers to "+c.Path+" that are equal", func() bool {
		get = tg.Do(t, c)
		asHead := c
		asHead.Method = http.MethodHead
		head = tg.Do(t, asHead)
		again := tg.Do(t, c)
		return get.Body == again.Body
	})
	return get, head
}

// checkPaths: path parameters are percent-decoded exactly once. No spelling of a path reaches a file, passes a guard, or becomes
// SQL.
func checkPaths(t *testing.T, tg *harness.Target) {
	const steven = `{"id":"2112","username":"stevenm"}`
	tests := []struct {
		path   string
		status int
		body   string
	}{
		{"/service/account/steven%6d", 200, steven},
		{"/service/account/steven%6D", 200, steven},
		{"/service/account/%73%74%65%76%65%6e%6d", 200, steven},
		{"/service/account/?account_id=211%32", 200, steven},
		{"/service/account/?account_id=%32%31%31%32&account_idx=1", 200, steven},
		{"/service/account/steven%256d", 404, ""},
		{"/service/account/STEVENM", 404, ""},
		{"/service/account/stevenm%2F", 404, ""},
		{"/service/account/x%2Fstevenm", 404, ""},
		{"/service/account/..%2Faccount%2Fstevenm", 404, ""},
		{"/service/account/stevenm%00", 404, ""},
		{"/service/account/%00", 404, ""},
		{"/service/account/..", 404, ""},
		{"/service/account/%2e%2e", 404, ""},
		{"/service/account/.", 404, ""},
		{"/service/account/%2e", 404, ""},
		{"/service/account/stevenm%20", 404, ""},
		{"/service/account/%F0%9F%94%91", 404, ""},     // an emoji
		{"/service/account/%E2%80%AEmnevets", 404, ""}, // a right-to-left override
		{"/service/account/%FF%FE", 404, ""},           // not UTF-8
		{"/service/account/%22%27%60", 404, ""},        // quotes
		{"/service/account/'%20OR%20'1'='1", 404, ""},  // SQL
		{"/service/account/stevenm'--", 404, ""},       // SQL
		{"/service/account/%25", 404, ""},              // a percent sign is no wildcard
		{"/service/account/steven_", 404, ""},          // nor is an underscore
		{"/service/account/" + strings.Repeat("a", 4000), 404, ""},
		{"/service/storyspaces/2113%00", 404, ""},
		{"/service/storyspaces/%2e%2e", 404, ""},
		{"/service/account/?account_id=2112%00", 404, ""},
		{"/service/account/?account_id=2112'--", 404, ""},
		{"/service/account/?account_id=%F0%9F%94%91", 404, ""},
		{"/service/storyspaces/?username=%00", 200, "[]"},
		{"/service/storyspaces/?username='%20OR%201=1--", 200, "[]"},
		{"/service/storyspaces/?username=%E2%80%AE", 200, "[]"},
		{"/service/account/%zz", 400, `{"detail":"Bad Request"}`},
		{"/service/account/stevenm%", 400, `{"detail":"Bad Request"}`},
		{"/service/account/stevenm%6", 400, `{"detail":"Bad Request"}`},
		{"/%zz", 400, `{"detail":"Bad Request"}`},
		{"/service/account/?account_id=%zz", 400, `{"detail":"Bad Request"}`},
		{"/service/storyspaces/?username=%", 400, `{"detail":"Bad Request"}`},
	}
	for _, tt := range tests {
		a := tg.Do(t, harness.Call{Path: tt.path, Token: tg.Secrets.Token()})
		a.Is(t, tt.status, tt.body)
		if tt.status == http.StatusNotFound {
			a.Is(t, tt.status, `{"detail":"Not Found"}`)
		}
	}
	// Every spelling of a guarded path is guarded.
	for _, path := range []string{
		"//service/whoami", "/./service/whoami", "/docs/../service/whoami", "/docs/%2e%2e/service/whoami", "/service//whoami",
		"/%73ervice/whoami", "/service%2Fwhoami", "/docs/..%2fservice/whoami", "/service/whoami;x", "/service/whoami%00",
		"/docs/..%2f..%2f..%2fetc/passwd", "/docs/../../../../etc/passwd", "/docs/%5c..%5cetc", "/service/whoami%3f", "/;/service/whoami",
	} {
		a := tg.Do(t, harness.Call{Path: path})
		if a.Status == http.StatusOK || strings.Contains(a.Body, "scopes") || strings.Contains(a.Body, "root:") {
			t.Errorf("%s without token: %d %s", a.Call, a.Status, a.Body)
		}
	}
}

// checkOpenRoutes: open routes answer without a token, and with a bad one.
func checkOpenRoutes(t *testing.T, tg *harness.Target) {
	for _, token := range []string{"", garbage} {
		a := tg.Do(t, harness.Call{Path: "/", Token: token})
		a.Is(t, http.StatusOK, `{"msg":"Hello from our latchkey app."}`)
		a.IsJSON(t)
		for _, path := range []string{"/livez", "/readyz", "/docs", "/openapi.json"} {
			tg.Do(t, harness.Call{Path: path, Token: token}).Is(t, http.StatusOK, "")
		}
	}
}
