package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// garbage is sent where the token must not be looked at.
const garbage = "no.token.atall"

// checkRouting: a path that does not exist is 404 for everybody, and a path is what it is to the letter.
func checkRouting(t *testing.T, tg *target) {
	for _, path := range []string{
		"/nothing", "/service", "/service/nothing", "/service/account/stevenm/more", "/service/storyspaces/1/2",
		"/service/whoami/x", "/accounts", "/favicon.ico", "/.env", "/.git/config", "/metrics", "/debug/pprof/",
		"/Service/whoami", "/service/WHOAMI", "/service/Account/stevenm", "/LIVEZ", "/Docs", "/openapi.JSON",
		"/service/whoam%49", "/service/whoami.", "/service/whoamix", "/servicex/whoami",
	} {
		for _, token := range []string{"", garbage, tg.secrets.token()} {
			tg.do(t, call{path: path, token: token}).says(t, http.StatusNotFound)
		}
		tg.do(t, call{method: http.MethodPost, path: path}).says(t, http.StatusNotFound)
	}
}

// checkMethods: a method that a path does not have is 405 for everybody, with the methods that it has.
func checkMethods(t *testing.T, tg *target) {
	doc := tg.openapi(t)
	for _, path := range []string{"/docs", "/openapi.json"} { // the documentation need not document itself
		doc.operations = append(doc.operations, operation{method: http.MethodGet, path: path})
	}
	for _, op := range doc.operations {
		c := op.mustRequest(t)
		path, _, _ := strings.Cut(c.path, "?")
		want := doc.methods(path)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"} {
			if slices.Contains(want, method) {
				continue
			}
			for _, token := range []string{"", garbage, tg.secrets.token()} {
				a := tg.do(t, call{method: method, path: path, token: token})
				if method == "HEAD" {
					a.is(t, http.StatusMethodNotAllowed, "")
				} else {
					a.says(t, http.StatusMethodNotAllowed)
				}
				got := strings.Split(strings.ReplaceAll(strings.Join(a.header.Values("Allow"), ","), " ", ""), ",")
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("%s: 405 with Allow %q, want %q", a.call, got, want)
				}
			}
		}
	}
}

// checkSlashes: a path answers with and without the slash at its end, and never by a redirect.
func checkSlashes(t *testing.T, tg *target) {
	for _, op := range tg.openapi(t).operations {
		for _, slash := range []string{"", "/"} {
			c := op.mustRequest(t)
			var holder credential
			if op.isGuarded() {
				var ok bool
				if holder, ok = tg.holder(tg.needs(t, op)); !ok {
					continue
				}
				c = tg.request(t, op)
			}
			path, query, hasQuery := strings.Cut(c.path, "?")
			c.path = strings.TrimSuffix(path, "/") + slash
			if c.path == "" {
				c.path = "/" // a request has no empty path
			}
			if hasQuery {
				c.path += "?" + query
			}
			if op.isGuarded() {
				if a := tg.do(t, c); a.status != http.StatusUnauthorized {
					t.Errorf("%s without token: %d %s, want 401", a.call, a.status, a.body)
				}
				c.token = holder.token()
			}
			if a := tg.do(t, c); a.status/100 != 2 {
				t.Errorf("%s: %d %s", a.call, a.status, a.body)
			}
		}
	}
}

// checkHead: HEAD answers as GET, without a body.
func checkHead(t *testing.T, tg *target) {
	for _, op := range tg.openapi(t).operations {
		if op.method != http.MethodGet {
			continue
		}
		tokens := []string{""}
		if holder, ok := tg.holder(tg.needs(t, op)); ok {
			tokens = append(tokens, holder.token())
		}
		for _, token := range tokens {
			c := tg.request(t, op)
			c.token = token
			get, head := getAndHead(t, tg, c)
			head.is(t, get.status, "")
			for _, name := range []string{"Content-Type", "WWW-Authenticate", "Cache-Control", "ETag", "Content-Length"} {
				if head.header.Get(name) != get.header.Get(name) {
					t.Errorf("%s: %s %q, GET has %q", head.call, name, head.header.Get(name), get.header.Get(name))
				}
			}
			if head.body != "" {
				t.Errorf("%s: a body: %s", head.call, head.body)
			}
		}
	}
}

// getAndHead are the answers to both methods at a moment at which what is asked for does not change.
func getAndHead(t *testing.T, tg *target, c call) (get, head answer) {
	t.Helper()
	eventually(t, startLimit, "two answers to "+c.path+" that are equal", func() bool {
		get = tg.do(t, c)
		asHead := c
		asHead.method = http.MethodHead
		head = tg.do(t, asHead)
		again := tg.do(t, c)
		return get.body == again.body
	})
	return get, head
}

// checkPaths: path parameters are percent-decoded exactly once, and no spelling of a path finds its way to a file, past
// a guard, or into SQL.
func checkPaths(t *testing.T, tg *target) {
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
		a := tg.do(t, call{path: tt.path, token: tg.secrets.token()})
		a.is(t, tt.status, tt.body)
		if tt.status == http.StatusNotFound {
			a.is(t, tt.status, `{"detail":"Not Found"}`)
		}
	}
	// No spelling of a guarded path is open.
	for _, path := range []string{
		"//service/whoami", "/./service/whoami", "/docs/../service/whoami", "/docs/%2e%2e/service/whoami", "/service//whoami",
		"/%73ervice/whoami", "/service%2Fwhoami", "/docs/..%2fservice/whoami", "/service/whoami;x", "/service/whoami%00",
		"/docs/..%2f..%2f..%2fetc/passwd", "/docs/../../../../etc/passwd", "/docs/%5c..%5cetc", "/service/whoami%3f", "/;/service/whoami",
	} {
		a := tg.do(t, call{path: path})
		if a.status == http.StatusOK || strings.Contains(a.body, "scopes") || strings.Contains(a.body, "root:") {
			t.Errorf("%s without token: %d %s", a.call, a.status, a.body)
		}
	}
}
