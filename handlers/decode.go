// Package handlers has the handlers of the routes, one file per resource. A handler reads the request into a struct, asks
// the store, and writes a struct as the answer. Handlers return faults; they never write an error themselves.
package handlers

import (
	"encoding/json"
	"errors"
	"mime"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/internal/strictjson"
)

// The parts of a request, as Field.Loc names them.
const (
	inBody  = "body"
	inQuery = "query"
)

// decodeBody reads the body, one strict JSON object, into the struct that into points to. A member that the struct does
// not have is refused. null counts as absent. The error is fault.UnsupportedMediaType or fault.Invalid.
func decodeBody(c *fiber.Ctx, into any) error {
	mediaType, _, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	if err != nil || mediaType != fiber.MIMEApplicationJSON {
		return fault.New(fault.UnsupportedMediaType)
	}
	for _, line := range c.Request().Header.PeekAll(fiber.HeaderContentEncoding) {
		for encoding := range strings.SplitSeq(string(line), ",") {
			encoding = strings.Trim(encoding, " \t")
			if encoding != "" && !strings.EqualFold(encoding, "identity") {
				return fault.New(fault.UnsupportedMediaType)
			}
		}
	}
	return decodeJSON(c.BodyRaw(), into)
}

// decodeOptionalBody is decodeBody for a body that may be absent. An empty body is absent whatever its Content-Type: many
// clients send that header with every POST.
func decodeOptionalBody(c *fiber.Ctx, into any) error {
	if len(c.BodyRaw()) == 0 {
		return nil
	}
	return decodeBody(c, into)
}

// maxDepth is how deep a body may nest, the same as in encoding/json.
const maxDepth = 10_000

// decodeJSON is decodeBody without the checks of the headers. strictjson reads the body before encoding/json does, which
// would keep the last of two values, and accept a name in another case.
func decodeJSON(body []byte, into any) error {
	members, err := strictjson.Object(body, maxDepth)
	switch {
	case errors.Is(err, strictjson.ErrNotObject):
		return bodyField("must be an object", "object_type")
	case errors.Is(err, strictjson.ErrSyntax):
		return bodyField("not valid JSON", "json_invalid")
	}
	known := jsonNames(reflect.TypeOf(into).Elem())
	for _, m := range members {
		if !slices.Contains(known, m.Name) {
			return bodyField("unknown field; there are: "+strings.Join(known, ", "), "extra_forbidden")
		}
	}
	if err != nil { // a duplicate, after these members
		return bodyField("duplicate member", "json_invalid")
	}
	err = json.Unmarshal(body, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind := jsonType(wrong.Type.Kind())
		return fault.InvalidFields(fault.Field{Loc: []string{inBody, wrong.Field}, Msg: "must be a " + kind, Type: strings.ReplaceAll(kind, " ", "_") + "_type"})
	}
	if err != nil {
		return bodyField("not valid JSON", "json_invalid")
	}
	return nil
}

// jsonType names the JSON type from which a kind of Go value is read.
func jsonType(kind reflect.Kind) string {
	switch kind {
	case reflect.Slice:
		return "list"
	case reflect.Float64:
		return "number"
	case reflect.Int:
		return "whole number"
	default:
		return kind.String()
	}
}

func bodyField(msg, kind string) error {
	return fault.InvalidFields(fault.Field{Loc: []string{inBody}, Msg: msg, Type: kind})
}

// jsonNames returns the names of the members that a request struct has, in its order.
func jsonNames(t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// pathParam returns a path parameter, percent-decoded once. A middleware has already refused invalid escapes.
func pathParam(c *fiber.Ctx, name string) string {
	value, err := url.PathUnescape(c.Params(name))
	if err != nil {
		return ""
	}
	return value
}

// fields collects the problems of a request, so that one answer names them all.
type fields []fault.Field

func (f *fields) add(in, name, msg, kind string) {
	*f = append(*f, fault.Field{Loc: []string{in, name}, Msg: msg, Type: kind})
}

// err returns nil if there is no problem.
func (f *fields) err() error {
	if len(*f) == 0 {
		return nil
	}
	return fault.InvalidFields(*f...)
}

// query reads a query value that is required. An empty value counts as absent.
func (f *fields) query(c *fiber.Ctx, name string) string {
	value := c.Query(name)
	if value == "" {
		f.add(inQuery, name, "field required", "missing")
	}
	return value
}

// boolean reads a query value that is true or false; absent is false.
func (f *fields) boolean(c *fiber.Ctx, name string) bool {
	switch c.Query(name) {
	case "true":
		return true
	case "", "false":
		return false
	default:
		f.add(inQuery, name, "must be true or false", "bool_parsing")
		return false
	}
}

// timestamp reads a time (RFC 3339).
func (f *fields) timestamp(in, name, text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		f.add(in, name, "must be a time such as 2027-01-31T12:00:00Z", "datetime_parsing")
	}
	return at
}

// required checks a member that must not be empty, as optional does.
func (f *fields) required(name, value string, maxLength int) {
	if value == "" {
		f.add(inBody, name, "field required", "missing")
		return
	}
	f.optional(name, value, maxLength)
}

// optional checks the length of a member in characters. It also refuses a zero byte, which PostgreSQL cannot store.
func (f *fields) optional(name, value string, maxLength int) {
	if utf8.RuneCountInString(value) > maxLength {
		f.add(inBody, name, "must have at most "+strconv.Itoa(maxLength)+" characters", "string_too_long")
	}
	if strings.ContainsRune(value, 0) {
		f.add(inBody, name, "must not contain a zero character", "string_pattern_mismatch")
	}
}

// maxName is the length of the longest username or id.
const maxName = 64

// plainName reports whether s is 1 to 64 of [A-Za-z0-9._-], the alphabet of usernames and ids. Such a name needs no
// escaping in a path.
func plainName(s string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return s != "" && len(s) <= maxName && strings.Trim(s, alphabet) == ""
}
