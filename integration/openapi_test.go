package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// designed are the operations that must exist, and their scopes: "" means any token, "-" means no token. Other programs rely
// on this list.
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

// designedScopes are the scopes that must exist.
var designedScopes = []string{"accounts:read", "accounts:write", "keys:admin", "storyspaces:read", "storyspaces:write"}

// checkDocumentation: /openapi.json has what a caller's developer must know.
func checkDocumentation(t *testing.T, tg *harness.Target) {
	doc := tg.OpenAPI(t)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("openapi is %q, want 3.1", doc.OpenAPI)
	}
	checkBearerScheme(t, doc)
	every := tg.EveryScope(t)
	for _, scope := range designedScopes {
		if !slices.Contains(every, scope) || !slices.IsSorted(every) {
			t.Errorf("the scopes are documented as %q, want %q among them, sorted", every, scope)
		}
	}

	ids := map[string]string{}
	found := map[string]bool{}
	for _, op := range doc.Operations {
		if other := ids[op.ID]; op.ID == "" || other != "" {
			t.Errorf("%s: operationId %q is missing, or %q has it too", op.Name(), op.ID, other)
		}
		ids[op.ID] = op.Name()
		found[harness.PlainPath(op.Name())] = true
		if op.Summary == "" {
			t.Errorf("%s has no summary", op.Name())
		}
		for _, p := range op.Parameters {
			if len(p.Schema.Type) == 0 || p.Description == "" {
				t.Errorf("%s: the %s parameter %q lacks a type or a description", op.Name(), p.In, p.Name)
			}
		}
		if _, err := op.Request(); err != nil {
			t.Errorf("%s cannot be called from its documentation: %v", op.Name(), err)
		}
		checkResponses(t, op)
		checkGuardIsDocumented(t, doc, op)
	}
	for name, scope := range designed {
		if !found[harness.PlainPath(name)] {
			t.Errorf("%s is not documented", name)
		}
		for _, op := range doc.Operations {
			if harness.PlainPath(op.Name()) == harness.PlainPath(name) && op.IsGuarded() != (scope != "-") {
				t.Errorf("%s: documented as guarded: %v", name, op.IsGuarded())
			}
		}
	}
	etag := tg.Do(t, harness.Call{Path: "/openapi.json"}).Header.Get("ETag")
	if etag == "" {
		t.Error("/openapi.json has no ETag")
	}
	a := tg.Do(t, harness.Call{Path: "/openapi.json", Header: map[string]string{"If-None-Match": etag}})
	a.Is(t, http.StatusNotModified, "")
	if a.Body != "" {
		t.Error("304 with a body")
	}
}

// checkBearerScheme: the bearer scheme is documented, and that a bare token is accepted.
func checkBearerScheme(t *testing.T, doc harness.Document) {
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

// checkGuardIsDocumented: everything under /service is guarded, and its refusals are documented.
func checkGuardIsDocumented(t *testing.T, doc harness.Document, op harness.Operation) {
	t.Helper()
	if strings.HasPrefix(op.Path, "/service") && !op.IsGuarded() {
		t.Errorf("%s is under /service and needs no token", op.Name())
	}
	if !op.IsGuarded() {
		return
	}
	for _, need := range op.Security {
		if len(need) == 0 {
			t.Errorf("%s: its token is optional", op.Name())
		}
		for name := range need {
			if _, ok := doc.Components.SecuritySchemes[name]; !ok {
				t.Errorf("%s: security scheme %q is not described", op.Name(), name)
			}
		}
	}
	statuses := []int{400, 401}
	if scope, ok := designed[op.Name()]; ok && scope != "" {
		statuses = append(statuses, 403)
	}
	if op.RequestBody != nil {
		statuses = append(statuses, 413, 415, 422)
	}
	if strings.Contains(op.Path, "{") {
		statuses = append(statuses, 404)
	}
	for _, status := range statuses {
		if !op.Documents(status) {
			t.Errorf("%s: %d is not documented", op.Name(), status)
		}
	}
}

// checkResponses: every status is described. JSON has an example that fits its schema.
func checkResponses(t *testing.T, op harness.Operation) {
	t.Helper()
	success := 0
	for status, response := range op.Responses {
		if strings.HasPrefix(status, "2") {
			success++
		}
		if response.Description == "" {
			t.Errorf("%s: %s is not described", op.Name(), status)
		}
		if m, ok := response.Content["application/json"]; ok {
			checkExample(t, fmt.Sprintf("%s: %s", op.Name(), status), m)
		} else if status >= "400" {
			t.Errorf("%s: %s has no application/json form", op.Name(), status)
		}
	}
	if success == 0 {
		t.Errorf("%s: no success is documented", op.Name())
	}
}

func checkExample(t *testing.T, where string, m harness.Media) {
	t.Helper()
	if m.Example == nil && len(m.Examples) == 0 && m.Schema.Example == nil && len(m.Schema.Examples) == 0 {
		t.Errorf("%s has no example", where)
		return
	}
	value, err := m.ExampleBody()
	if err == nil {
		err = m.Schema.Check("example", value)
	}
	if err != nil {
		t.Errorf("%s: %v", where, err)
	}
}
