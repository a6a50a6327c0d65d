package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// designed are the operations that must exist, and the scope each needs: "" for none, "-" where no token is asked for.
// Other programs are written against this list.
var designed = map[string]string{
	"GET /":                           "-",
	"GET /livez":                      "-",
	"GET /readyz":                     "-",
	"GET /service/account/{username}": "accounts:read",
	"GET /service/account/":           "accounts:read",
	"POST /service/account/register":  "accounts:write",
	"GET /service/storyspaces/":       "storyspaces:read",
	"GET /service/storyspaces/{id}":   "storyspaces:read",
	"POST /service/storyspaces/begin": "storyspaces:write",
	"GET /service/whoami":             "",

	"POST /service/keys":              "keys:admin",
	"GET /service/keys":               "keys:admin",
	"GET /service/keys/{id}":          "keys:admin",
	"POST /service/keys/{id}/rotate":  "keys:admin",
	"POST /service/keys/{id}/disable": "keys:admin",
	"POST /service/keys/{id}/enable":  "keys:admin",
	"POST /service/keys/{id}/revoke":  "keys:admin",
	"GET /service/audit":              "keys:admin",
}

// designedScopes are what the design names of the closed set.
var designedScopes = []string{"accounts:read", "accounts:write", "keys:admin", "storyspaces:read", "storyspaces:write"}

// checkDocumentation: /openapi.json says all that a caller's developer must know.
func checkDocumentation(t *testing.T, tg *target) {
	doc := tg.openapi(t)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("openapi is %q, want 3.1", doc.OpenAPI)
	}
	checkBearerScheme(t, doc)
	every := tg.everyScope(t)
	for _, scope := range designedScopes {
		if !slices.Contains(every, scope) || !slices.IsSorted(every) {
			t.Errorf("the scopes are documented as %q, want %q among them, sorted", every, scope)
		}
	}

	ids := map[string]string{}
	found := map[string]bool{}
	for _, op := range doc.operations {
		if other := ids[op.ID]; op.ID == "" || other != "" {
			t.Errorf("%s: operationId %q is missing, or also the one of %q", op.name(), op.ID, other)
		}
		ids[op.ID] = op.name()
		found[plainPath(op.name())] = true
		if op.Summary == "" {
			t.Errorf("%s has no summary", op.name())
		}
		for _, p := range op.Parameters {
			if len(p.Schema.Type) == 0 || p.Description == "" {
				t.Errorf("%s: the %s parameter %q lacks a type or a description", op.name(), p.In, p.Name)
			}
		}
		if _, err := op.request(); err != nil {
			t.Errorf("%s cannot be called from its documentation: %v", op.name(), err)
		}
		checkResponses(t, op)
		checkGuardIsDocumented(t, doc, op)
	}
	for name, scope := range designed {
		if !found[plainPath(name)] {
			t.Errorf("%s is not documented", name)
		}
		for _, op := range doc.operations {
			if plainPath(op.name()) == plainPath(name) && op.isGuarded() != (scope != "-") {
				t.Errorf("%s: documented as guarded: %v", name, op.isGuarded())
			}
		}
	}
	etag := tg.do(t, call{path: "/openapi.json"}).header.Get("ETag")
	if etag == "" {
		t.Error("/openapi.json has no ETag")
	}
	a := tg.do(t, call{path: "/openapi.json", header: map[string]string{"If-None-Match": etag}})
	a.is(t, http.StatusNotModified, "")
	if a.body != "" {
		t.Error("304 with a body")
	}
}

// checkBearerScheme: there is a bearer scheme, and it says that a bare token is accepted, too.
func checkBearerScheme(t *testing.T, doc document) {
	t.Helper()
	for _, scheme := range doc.Components.SecuritySchemes {
		if scheme.Type == "http" && strings.EqualFold(scheme.Scheme, "bearer") {
			if !strings.Contains(strings.ToLower(scheme.Description), "bare") {
				t.Errorf("the bearer scheme does not say that a bare token is accepted: %q", scheme.Description)
			}
			return
		}
	}
	t.Error("no security scheme of type http, bearer")
}

// checkGuardIsDocumented: nothing under /service is open, and who needs a token is told how it is refused.
func checkGuardIsDocumented(t *testing.T, doc document, op operation) {
	t.Helper()
	if strings.HasPrefix(op.path, "/service") && !op.isGuarded() {
		t.Errorf("%s is under /service and asks for no token", op.name())
	}
	if !op.isGuarded() {
		return
	}
	for _, need := range op.Security {
		if len(need) == 0 {
			t.Errorf("%s: its token is optional", op.name())
		}
		for name := range need {
			if _, ok := doc.Components.SecuritySchemes[name]; !ok {
				t.Errorf("%s: security scheme %q is not described", op.name(), name)
			}
		}
	}
	statuses := []int{400, 401}
	if scope, ok := designed[op.name()]; ok && scope != "" {
		statuses = append(statuses, 403)
	}
	if op.RequestBody != nil {
		statuses = append(statuses, 413, 415, 422)
	}
	if strings.Contains(op.path, "{") {
		statuses = append(statuses, 404)
	}
	for _, status := range statuses {
		if !op.documents(status) {
			t.Errorf("%s: %d is not documented", op.name(), status)
		}
	}
}

// checkResponses: every status is described, has an example where it is JSON, and the example fits its own schema.
func checkResponses(t *testing.T, op operation) {
	t.Helper()
	success := 0
	for status, response := range op.Responses {
		if strings.HasPrefix(status, "2") {
			success++
		}
		if response.Description == "" {
			t.Errorf("%s: %s is not described", op.name(), status)
		}
		if m, ok := response.Content["application/json"]; ok {
			checkExample(t, fmt.Sprintf("%s: %s", op.name(), status), m)
		} else if status >= "400" {
			t.Errorf("%s: %s has no application/json form", op.name(), status)
		}
	}
	if success == 0 {
		t.Errorf("%s: no success is documented", op.name())
	}
}

func checkExample(t *testing.T, where string, m media) {
	t.Helper()
	if m.Example == nil && len(m.Examples) == 0 && m.Schema.Example == nil && len(m.Schema.Examples) == 0 {
		t.Errorf("%s has no example", where)
		return
	}
	value, err := m.example()
	if err == nil {
		err = m.Schema.check("example", value)
	}
	if err != nil {
		t.Errorf("%s: %v", where, err)
	}
}
