package harness

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

// Document is the part of OpenAPI 3.1 that the tests need, with every $ref replaced by what it names.
type Document struct {
	OpenAPI    string                     `json:"openapi"`
	Paths      map[string]json.RawMessage `json:"paths"`
	Components struct {
		SecuritySchemes map[string]struct {
			Type, Scheme, BearerFormat, Description string
		} `json:"securitySchemes"`
	} `json:"components"`

	Operations []Operation
}

// Operation is one method of one path.
type Operation struct {
	Method, Path string

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
	Content  map[string]Media `json:"content"`
}

type response struct {
	Description string           `json:"description"`
	Content     map[string]Media `json:"content"`
}

// Media is a body in one media type.
type Media struct {
	Example  any                `json:"example"`
	Examples map[string]example `json:"examples"`
	Schema   schema             `json:"schema"`
}

type example struct {
	Value any `json:"value"`
}

// OpenAPI reads the target's own description of itself.
func (tg *Target) OpenAPI(t *testing.T) Document {
	t.Helper()
	a := tg.Do(t, Call{Path: "/openapi.json"})
	a.Is(t, http.StatusOK, "")
	var raw any
	a.Decode(t, &raw)
	whole, err := resolve(raw, raw, 0)
	if err != nil {
		t.Fatalf("/openapi.json: %v", err)
	}
	var doc Document
	remarshal(t, whole, &doc)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		var members map[string]json.RawMessage
		remarshal(t, doc.Paths[path], &members)
		for _, method := range []string{"get", "head", "post", "put", "patch", "delete", "options", "trace"} {
			if members[method] == nil {
				continue
			}
			op := Operation{Method: strings.ToUpper(method), Path: path}
			remarshal(t, members[method], &op)
			doc.Operations = append(doc.Operations, op)
		}
	}
	if len(doc.Operations) == 0 {
		t.Fatal("/openapi.json describes no operation")
	}
	return doc
}

// Guarded are the operations that need a token.
func (d Document) Guarded() []Operation {
	return slices.DeleteFunc(slices.Clone(d.Operations), func(op Operation) bool { return !op.IsGuarded() })
}

// IsGuarded reports whether the operation needs a token.
func (op Operation) IsGuarded() bool { return len(op.Security) > 0 }

// Name is how an operation appears in messages.
func (op Operation) Name() string { return op.Method + " " + op.Path }

// Documents reports whether the operation documents the status.
func (op Operation) Documents(status int) bool {
	_, ok := op.Responses[fmt.Sprint(status)]
	return ok
}

// remarshal copies from to to by way of JSON.
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

// fresh are members that must be new in each request, by operation: the documented example works only once.
var fresh = map[string][]string{
	"POST /service/account/register": {"username", "id"},
}

// Request builds a valid request from the operation's documentation alone.
func (op Operation) Request() (Call, error) {
	c := Call{Method: op.Method, Path: op.Path, Header: map[string]string{}}
	query := url.Values{}
	for _, p := range op.Parameters {
		value, ok := p.example()
		if !ok && (p.Required || p.In == "path") {
			return Call{}, fmt.Errorf("the %s parameter %q has no example", p.In, p.Name)
		}
		switch {
		case p.In == "path":
			c.Path = strings.ReplaceAll(c.Path, "{"+p.Name+"}", url.PathEscape(value))
		case p.Required && p.In == "query":
			query.Set(p.Name, value)
		case p.Required && p.In == "header":
			c.Header[p.Name] = value
		case p.Required:
			return Call{}, fmt.Errorf("the parameter %q is in %q, which this service does not use", p.Name, p.In)
		}
	}
	if strings.ContainsAny(c.Path, "{}") {
		return Call{}, errors.New("the path has a parameter that is not documented")
	}
	if len(query) > 0 {
		c.Path += "?" + query.Encode()
	}
	if op.RequestBody == nil {
		return c, nil
	}
	m, ok := op.RequestBody.Content["application/json"]
	if !ok {
		return Call{}, errors.New("the body has no application/json form")
	}
	body, err := m.ExampleBody()
	if err != nil {
		return Call{}, fmt.Errorf("the body: %w", err)
	}
	for _, name := range fresh[op.Name()] {
		if object, ok := body.(map[string]any); ok && object[name] != nil {
			object[name] = FreshName()
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return Call{}, err
	}
	c.Body, c.Header["Content-Type"] = string(text), "application/json"
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

// ExampleBody is the documented example of a body: of the whole, or composed of those of its members.
func (m Media) ExampleBody() (any, error) {
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
			return nil, fmt.Errorf("neither the body nor its member %q has an example", name)
		}
	}
	if len(object) == 0 {
		return nil, errors.New("it has no example")
	}
	return object, nil
}

// MustRequest is Request; where none can be built the test fails.
func (op Operation) MustRequest(t *testing.T) Call {
	t.Helper()
	c, err := op.Request()
	if err != nil {
		t.Fatalf("%s cannot be called from its documentation: %v", op.Name(), err)
	}
	return c
}

// ScopeOf is the scope that an operation's 403 names; "" where it needs none.
func (tg *Target) ScopeOf(t *testing.T, op Operation) string {
	t.Helper()
	c := op.MustRequest(t)
	c.Token = tg.Secrets.Scoped("")
	return tg.Do(t, c).NeededScope()
}

// provided creates what a path names, where the documented example does not exist in a new store. By the beginning of the
// path; it gives the value of the path's parameter.
var provided = map[string]func(*testing.T, *Target) string{
	"/service/keys/{id}": func(t *testing.T, tg *Target) string {
		key, _ := tg.IssueKey(t, Body{})
		return key.ID
	},
}

// RequestFor is a valid request for an operation, for an object that exists.
func (tg *Target) RequestFor(t *testing.T, op Operation) Call {
	t.Helper()
	for path, provide := range provided {
		if strings.HasPrefix(op.Path, path) && tg.HasAdmin() {
			op.Path = path[:strings.IndexByte(path, '{')] + provide(t, tg) + op.Path[len(path):]
		}
	}
	return op.MustRequest(t)
}

// EveryScope is the closed set of scopes, as documented for a new key.
func (tg *Target) EveryScope(t *testing.T) []string {
	t.Helper()
	for _, op := range tg.OpenAPI(t).Operations {
		if op.Name() != "POST /service/keys" || op.RequestBody == nil {
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

// PlainPath removes the trailing slash.
func PlainPath(name string) string { return strings.TrimSuffix(name, "/") }

// FitsDocumentation demands that op documents the answer's status, and that the body fits its schema.
func (a Answer) FitsDocumentation(t *testing.T, op Operation) {
	t.Helper()
	if !op.Documents(a.Status) {
		t.Errorf("%s: answers %d, which is not documented: %s", op.Name(), a.Status, a.Body)
		return
	}
	m, ok := op.Responses[fmt.Sprint(a.Status)].Content["application/json"]
	if !ok {
		return
	}
	var value any
	a.Decode(t, &value)
	if err := m.Schema.Check("body", value); err != nil {
		t.Errorf("%s: %d is not as documented: %v: %s", op.Name(), a.Status, err, a.Body)
	}
}

// Methods are the documented methods of a concrete path, sorted; several templates may match it.
func (d Document) Methods(path string) []string {
	methods := []string{}
	for _, op := range d.Operations {
		if PathMatches(op.Path, path) && !slices.Contains(methods, op.Method) {
			methods = append(methods, op.Method)
			if op.Method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
		}
	}
	slices.Sort(methods)
	return methods
}

// PathMatches reports whether path fits the template, with or without a trailing slash.
func PathMatches(template, path string) bool {
	want, got := strings.Split(PlainPath(template), "/"), strings.Split(PlainPath(path), "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return w == g || strings.HasPrefix(w, "{") && g != ""
	})
}

// NeededScope is the scope that a 403 names, or "".
func (a Answer) NeededScope() string {
	_, rest, _ := strings.Cut(a.Header.Get("WWW-Authenticate"), `scope="`)
	scope, _, _ := strings.Cut(rest, `"`)
	return scope
}
