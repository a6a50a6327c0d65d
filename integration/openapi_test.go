package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// document is the part of OpenAPI 3.1 that the tests need, with every $ref replaced by what it names.
type document struct {
	OpenAPI    string                     `json:"openapi"`
	Paths      map[string]json.RawMessage `json:"paths"`
	Components struct {
		SecuritySchemes map[string]struct {
			Type, Scheme, BearerFormat, Description string
		} `json:"securitySchemes"`
	} `json:"components"`

	operations []operation
}

// operation is one method of one path.
type operation struct {
	method, path string

	ID          string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Parameters  []parameter           `json:"parameters"`
	RequestBody *requestBody          `json:"requestBody"`
	Responses   map[string]response   `json:"responses"`
	Security    []map[string][]string `json:"security"`
}

type parameter struct {
	Name        string             `json:"name"`
	In          string             `json:"in"`
	Description string             `json:"description"`
	Required    bool               `json:"required"`
	Example     any                `json:"example"`
	Examples    map[string]example `json:"examples"`
	Schema      schema             `json:"schema"`
}

type requestBody struct {
	Required bool             `json:"required"`
	Content  map[string]media `json:"content"`
}

type response struct {
	Description string           `json:"description"`
	Content     map[string]media `json:"content"`
}

type media struct {
	Example  any                `json:"example"`
	Examples map[string]example `json:"examples"`
	Schema   schema             `json:"schema"`
}

type example struct {
	Value any `json:"value"`
}

// openapi reads the target's own description of itself.
func (tg *target) openapi(t *testing.T) document {
	t.Helper()
	a := tg.do(t, call{path: "/openapi.json"})
	a.is(t, http.StatusOK, "")
	var raw any
	a.decode(t, &raw)
	whole, err := resolve(raw, raw, 0)
	if err != nil {
		t.Fatalf("/openapi.json: %v", err)
	}
	var doc document
	remarshal(t, whole, &doc)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		var members map[string]json.RawMessage
		remarshal(t, doc.Paths[path], &members)
		for _, method := range []string{"get", "head", "post", "put", "patch", "delete", "options", "trace"} {
			if members[method] == nil {
				continue
			}
			op := operation{method: strings.ToUpper(method), path: path}
			remarshal(t, members[method], &op)
			doc.operations = append(doc.operations, op)
		}
	}
	if len(doc.operations) == 0 {
		t.Fatal("/openapi.json describes no operation")
	}
	return doc
}

// guarded are the operations that ask for a token.
func (d document) guarded() []operation {
	return slices.DeleteFunc(slices.Clone(d.operations), func(op operation) bool { return !op.isGuarded() })
}

func (op operation) isGuarded() bool { return len(op.Security) > 0 }

// name is how an operation appears in messages.
func (op operation) name() string { return op.method + " " + op.path }

// documents says whether the operation's documentation knows the status.
func (op operation) documents(status int) bool {
	_, ok := op.Responses[fmt.Sprint(status)]
	return ok
}

// remarshal puts the JSON value from into the typed value to.
func remarshal(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatalf("/openapi.json is not of the form expected: %v", err)
	}
}

// resolve is node with every {"$ref": "#/..."} replaced by the part of root that it names.
func resolve(root, node any, depth int) (any, error) {
	if depth > 64 {
		return nil, errors.New("nested too deeply, or a $ref refers to itself")
	}
	switch node := node.(type) {
	case map[string]any:
		if ref, ok := node["$ref"].(string); ok {
			found := root
			for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				members, _ := found.(map[string]any)
				found = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
			}
			if found == nil {
				return nil, fmt.Errorf("$ref %q names nothing", ref)
			}
			return resolve(root, found, depth+1)
		}
		resolved := make(map[string]any, len(node))
		for name, value := range node {
			v, err := resolve(root, value, depth+1)
			if err != nil {
				return nil, err
			}
			resolved[name] = v
		}
		return resolved, nil
	case []any:
		resolved := make([]any, len(node))
		for i, value := range node {
			v, err := resolve(root, value, depth+1)
			if err != nil {
				return nil, err
			}
			resolved[i] = v
		}
		return resolved, nil
	}
	return node, nil
}

// fresh are body members that must be new with every request, by operation; the documented example serves once.
var fresh = map[string][]string{
	"POST /service/account/register": {"username", "id"},
}

// request builds a valid request from nothing but the operation's documentation.
func (op operation) request() (call, error) {
	c := call{method: op.method, path: op.path, header: map[string]string{}}
	query := url.Values{}
	for _, p := range op.Parameters {
		value, ok := p.example()
		if !ok && (p.Required || p.In == "path") {
			return call{}, fmt.Errorf("the %s parameter %q has no example", p.In, p.Name)
		}
		switch {
		case p.In == "path":
			c.path = strings.ReplaceAll(c.path, "{"+p.Name+"}", url.PathEscape(value))
		case p.Required && p.In == "query":
			query.Set(p.Name, value)
		case p.Required && p.In == "header":
			c.header[p.Name] = value
		case p.Required:
			return call{}, fmt.Errorf("the parameter %q is in %q, which no caller of this service needs", p.Name, p.In)
		}
	}
	if strings.ContainsAny(c.path, "{}") {
		return call{}, errors.New("the path has a parameter that is not documented")
	}
	if len(query) > 0 {
		c.path += "?" + query.Encode()
	}
	if op.RequestBody == nil {
		return c, nil
	}
	m, ok := op.RequestBody.Content["application/json"]
	if !ok {
		return call{}, errors.New("the body has no application/json form")
	}
	body, err := m.example()
	if err != nil {
		return call{}, fmt.Errorf("the body: %w", err)
	}
	for _, name := range fresh[op.name()] {
		if object, ok := body.(map[string]any); ok && object[name] != nil {
			object[name] = freshName()
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return call{}, err
	}
	c.body, c.header["Content-Type"] = string(text), "application/json"
	return c, nil
}

// example is the parameter's documented example, as text.
func (p parameter) example() (string, bool) {
	value, ok := p.Example, p.Example != nil
	for _, name := range slices.Sorted(maps.Keys(p.Examples)) {
		if !ok {
			value, ok = p.Examples[name].Value, true
		}
	}
	if !ok {
		value, ok = p.Schema.example()
	}
	return fmt.Sprint(value), ok
}

// example is the documented example of a body: of the whole, or put together from its members.
func (m media) example() (any, error) {
	if m.Example != nil {
		return m.Example, nil
	}
	for _, name := range slices.Sorted(maps.Keys(m.Examples)) {
		return m.Examples[name].Value, nil
	}
	if value, ok := m.Schema.example(); ok {
		return value, nil
	}
	object := map[string]any{}
	for name, member := range m.Schema.Properties {
		value, ok := member.example()
		if ok {
			object[name] = value
		} else if slices.Contains(m.Schema.Required, name) {
			return nil, fmt.Errorf("neither it nor its member %q has an example", name)
		}
	}
	if len(object) == 0 {
		return nil, errors.New("it has no example")
	}
	return object, nil
}

// mustRequest is request; an operation without one fails the test with the reason.
func (op operation) mustRequest(t *testing.T) call {
	t.Helper()
	c, err := op.request()
	if err != nil {
		t.Fatalf("%s cannot be called from its documentation: %v", op.name(), err)
	}
	return c
}

// needs is the scope that an operation needs, as its own refusal says it; "" for none.
func (tg *target) needs(t *testing.T, op operation) string {
	t.Helper()
	c := op.mustRequest(t)
	c.token = tg.secrets.scoped("")
	return tg.do(t, c).neededScope()
}

// provided make what an operation's path names where its documented example need not exist: the value of the path's
// parameter, for every operation whose path begins so.
var provided = map[string]func(*testing.T, *target) string{
	"/service/keys/{id}": func(t *testing.T, tg *target) string {
		key, _ := tg.issue(t, request{})
		return key.id
	},
}

// request is a valid request for an operation that finds what it asks for.
func (tg *target) request(t *testing.T, op operation) call {
	t.Helper()
	for path, provide := range provided {
		if strings.HasPrefix(op.path, path) && tg.administered() {
			op.path = path[:strings.IndexByte(path, '{')] + provide(t, tg) + op.path[len(path):]
		}
	}
	return op.mustRequest(t)
}

// everyScope is the closed set, as the documentation of a new key has it.
func (tg *target) everyScope(t *testing.T) []string {
	t.Helper()
	for _, op := range tg.openapi(t).operations {
		if op.name() != "POST /service/keys" || op.RequestBody == nil {
			continue
		}
		items := op.RequestBody.Content["application/json"].Schema.Properties["scopes"].Items
		if items == nil {
			break
		}
		var every []string
		for _, name := range items.Enum {
			every = append(every, fmt.Sprint(name))
		}
		return every
	}
	t.Fatal("the documentation of POST /service/keys does not list the scopes")
	return nil
}

// plainPath leaves out what the two spellings of a path differ in.
func plainPath(name string) string { return strings.TrimSuffix(name, "/") }

// fitsDocumentation demands that the answer's status is documented for op and its body is as documented.
func (a answer) fitsDocumentation(t *testing.T, op operation) {
	t.Helper()
	if !op.documents(a.status) {
		t.Errorf("%s: answers %d, which is not documented: %s", op.name(), a.status, a.body)
		return
	}
	m, ok := op.Responses[fmt.Sprint(a.status)].Content["application/json"]
	if !ok {
		return
	}
	var value any
	a.decode(t, &value)
	if err := m.Schema.check("body", value); err != nil {
		t.Errorf("%s: %d is not as documented: %v: %s", op.name(), a.status, err, a.body)
	}
}

// methods are the methods that the documentation gives a concrete path, through all its templates, sorted.
func (d document) methods(path string) []string {
	methods := []string{}
	for _, op := range d.operations {
		if matches(op.path, path) && !slices.Contains(methods, op.method) {
			methods = append(methods, op.method)
			if op.method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
		}
	}
	slices.Sort(methods)
	return methods
}

// matches says whether path is of the template's form; a trailing slash changes nothing.
func matches(template, path string) bool {
	want, got := strings.Split(plainPath(template), "/"), strings.Split(plainPath(path), "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return w == g || strings.HasPrefix(w, "{") && g != ""
	})
}

// neededScope is the scope that a 403 names, or "".
func (a answer) neededScope() string {
	_, rest, _ := strings.Cut(a.header.Get("WWW-Authenticate"), `scope="`)
	scope, _, _ := strings.Cut(rest, `"`)
	return scope
}
