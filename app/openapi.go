package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/swaggest/jsonschema-go"
	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/middleware"
)

// doc is the documentation of a route, in addition to its row.
type doc struct {
	id, summary string
	// request has the parameters or the body of the route. The values of a body are the example.
	request any
	// answer is the body of a success, as an example. With created, the status is 201 with Location instead of 200.
	answer  any
	created bool
	// or is another form of the answer, for a parameter; nil for none.
	or any
	// fails are the faults of this route only. Those of the edge, the guard and the body are added.
	fails []fault.Code
}

// bearer is the name of the security scheme.
const bearer = "bearer"

// fiberPath is a path as Fiber writes it: {name} becomes :name.
func fiberPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// OpenAPI is the document of all routes. It needs neither settings nor a store.
func OpenAPI(version string) ([]byte, error) { return openAPI(table(nil, nil, handlers.Live), version) }

// openAPI makes the OpenAPI 3.1 document of the routes. A row without an id, a summary or an answer is an error.
func openAPI(rows []route, version string) ([]byte, error) {
	reflector := openapi31.NewReflector()
	// Without the package name of the struct.
	reflector.DefaultOptions = append(reflector.DefaultOptions, jsonschema.InterceptDefName(func(t reflect.Type, _ string) string {
		return t.Name()
	}))
	spec := reflector.Spec
	spec.SetTitle("Latchkey")
	spec.SetVersion(version)
	spec.SetDescription("Callers prove their API key with a short-lived JSON Web Token. " +
		"Every error is `{\"detail\": ...}`; the texts are stable.")
	spec.SetHTTPBearerTokenSecurity(bearer, "JWT",
		"A JWT in the Authorization header: `Bearer <jwt>`. The bare token, without the scheme, is accepted too.")
	for _, r := range rows {
		if r.doc.id == "" || r.doc.summary == "" || r.doc.answer == nil {
			return nil, fmt.Errorf("%s %s has no documentation", r.method, r.path)
		}
		if err := describe(reflector, r); err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
	}
	return json.MarshalIndent(spec, "", "  ")
}

func describe(reflector *openapi31.Reflector, r route) error {
	op, err := reflector.NewOperationContext(r.method, r.path)
	if err != nil {
		return err
	}
	op.SetID(r.doc.id)
	op.SetSummary(r.doc.summary)
	if tag, ok := strings.CutPrefix(r.path, "/service/"); ok {
		tag, _, _ = strings.Cut(tag, "/")
		op.SetTags(tag)
	} else {
		op.SetTags("service")
	}
	if r.guard.closed {
		var scopes []string
		if r.guard.scope != "" {
			scopes = append(scopes, string(r.guard.scope))
			op.SetDescription("Needs the scope `" + string(r.guard.scope) + "`.")
		} else {
			op.SetDescription("Needs a valid token; no scope.")
		}
		op.AddSecurity(bearer, scopes...)
	}
	if r.doc.request != nil {
		op.AddReqStructure(r.doc.request, openapi.WithCustomize(requestExample(r.doc.request)))
	}
	status := http.StatusOK
	if r.doc.created {
		status = http.StatusCreated
	}
	answer := r.doc.answer
	if r.doc.or != nil {
		answer = jsonschema.AnyOf(r.doc.answer, r.doc.or)
	}
	op.AddRespStructure(answer, openapi.WithHTTPStatus(status), openapi.WithCustomize(answerExample(r.doc)))
	for status, codes := range failures(r) {
		op.AddRespStructure(failure(codes), openapi.WithHTTPStatus(status), openapi.WithCustomize(failureExamples(r, codes)))
	}
	return reflector.AddOperation(op)
}

// failures are the codes of all faults that a route can answer, by status.
func failures(r route) map[int][]fault.Code {
	codes := []fault.Code{fault.BadRequest, fault.RequestTimeout, fault.BodyTooLarge, fault.HeaderTooLarge, fault.Internal}
	if r.guard.closed {
		codes = append(codes, fault.AuthorizationRepeated, fault.AuthorizationMissing,
			fault.TokenTooLong, fault.TokenMalformed, fault.KeyNotAcceptable, fault.SignatureInvalid, fault.TokenExpired,
			fault.TokenNotYetValid, fault.ClaimMissing, fault.AudienceInvalid, fault.LifetimeTooLong,
			fault.APITokenMissing, fault.APITokenIncorrect, fault.TooManyRequests, fault.Unavailable)
	}
	if r.guard.scope != "" {
		codes = append(codes, fault.InsufficientScope)
	}
	if r.method == http.MethodPost {
		codes = append(codes, fault.UnsupportedMediaType, fault.Invalid)
	}
	byStatus := map[int][]fault.Code{}
	for _, code := range append(codes, r.doc.fails...) {
		status := middleware.StatusOf(code)
		byStatus[status] = append(byStatus[status], code)
	}
	return byStatus
}

// Failure is the body of every refusal but 422.
type Failure struct {
	Detail string `json:"detail" required:"true" description:"One of a closed list of texts."`
}

// InvalidFailure is the body of a 422.
type InvalidFailure struct {
	Detail []fault.Field `json:"detail" required:"true" description:"Each part of the request that is wrong."`
}

func failure(codes []fault.Code) any {
	if codes[0] == fault.Invalid {
		return InvalidFailure{}
	}
	return Failure{}
}

// requestExample sets the values of a body as its example. A request that has only parameters has no body.
func requestExample(request any) func(openapi.ContentOrReference) {
	return func(of openapi.ContentOrReference) {
		body, ok := of.(*openapi31.RequestBodyOrReference)
		if !ok || body.RequestBody == nil {
			return
		}
		body.RequestBody.WithRequired(hasRequired(request, "json"))
		for name, media := range body.RequestBody.Content {
			media.Example = new(setMembers(request))
			body.RequestBody.Content[name] = media
		}
	}
}

// hasRequired reports whether a request struct has a required field with the tag.
func hasRequired(request any, tag string) bool { return firstRequired(request, tag) != "" }

// firstRequired is the name of the first required field with the tag, "" for none.
func firstRequired(request any, tag string) string {
	for field := range reflect.TypeOf(request).Fields() {
		name, _, _ := strings.Cut(field.Tag.Get(tag), ",")
		if required, _ := strconv.ParseBool(field.Tag.Get("required")); required && name != "" {
			return name
		}
	}
	return ""
}

// setMembers are the members of a request struct that are not zero, by their JSON names.
func setMembers(request any) any {
	members := map[string]any{}
	value := reflect.ValueOf(request)
	for field, content := range value.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" && !content.IsZero() {
			members[name] = content.Interface()
		}
	}
	return members
}

func answerExample(d doc) func(openapi.ContentOrReference) {
	return func(of openapi.ContentOrReference) {
		answer, ok := of.(*openapi31.ResponseOrReference)
		if !ok {
			return
		}
		for name, media := range answer.Response.Content {
			media.Example = new(d.answer)
			answer.Response.Content[name] = media
		}
		addHeader(answer.Response, "X-Request-ID", "Names the request in the log; a plain one of the caller's is kept.")
		if d.created {
			addHeader(answer.Response, "Location", "Where the new resource is.")
		}
		if reflect.TypeOf(d.answer).Kind() == reflect.Slice {
			addHeader(answer.Response, "Link", `The next page, as <...>; rel="next"; absent on the last one.`)
		}
	}
}

// failureExamples adds an example for each code of a status.
func failureExamples(r route, codes []fault.Code) func(openapi.ContentOrReference) {
	return func(of openapi.ContentOrReference) {
		answer, ok := of.(*openapi31.ResponseOrReference)
		if !ok {
			return
		}
		examples := map[string]openapi31.ExampleOrReference{}
		for _, code := range codes {
			f := &fault.Error{Code: code, Scope: string(r.guard.scope)}
			if code == fault.Invalid {
				f.Fields = invalidExample(r)
			}
			var body any
			if err := json.Unmarshal(middleware.Body(f), &body); err != nil {
				continue // middleware.Body writes JSON
			}
			example := openapi31.Example{Value: &body}
			examples[code.Reason()] = openapi31.ExampleOrReference{Example: &example}
			if middleware.Challenge(f) != "" {
				addHeader(answer.Response, "WWW-Authenticate", "What is wrong with the credentials, as RFC 6750, section 3, says it.")
			}
			if code == fault.Unavailable || code == fault.TooManyRequests {
				addHeader(answer.Response, "Retry-After", "Seconds to wait.")
			}
			if code == fault.TooManyRequests {
				addHeader(answer.Response, "RateLimit", `What is left of the key's limit: "key";r=<requests>;t=<seconds until all of it is back>.`)
				addHeader(answer.Response, "RateLimit-Policy", `The key's limit: "key";q=<requests>;w=<seconds>.`)
			}
		}
		for name, media := range answer.Response.Content {
			media.Examples = examples
			answer.Response.Content[name] = media
		}
	}
}

// invalidExample is a 422 that this route can answer.
func invalidExample(r route) []fault.Field {
	in, tag := "query", "query"
	if r.method == http.MethodPost {
		in, tag = "body", "json"
	}
	if name := firstRequired(r.doc.request, tag); name != "" {
		return []fault.Field{{Loc: []string{in, name}, Msg: "field required", Type: "missing"}}
	}
	if in == "query" {
		return []fault.Field{{Loc: []string{in, "limit"}, Msg: "must be a whole number from 1 to 200", Type: "int_range"}}
	}
	return []fault.Field{{Loc: []string{in}, Msg: "not valid JSON", Type: "json_invalid"}}
}

func addHeader(r *openapi31.Response, name, description string) {
	if r.Headers == nil {
		r.Headers = map[string]openapi31.HeaderOrReference{}
	}
	r.Headers[name] = openapi31.HeaderOrReference{Header: &openapi31.Header{
		Description: &description, Schema: map[string]any{"type": "string"},
	}}
}
