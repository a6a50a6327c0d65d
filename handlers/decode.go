// Package handlers is what the routes do, one file per resource: a request is read into a struct of its own, the store
// is asked, and a struct of the answer is written. Handlers return faults; they never write an error themselves.
package handlers

import (
	"encoding/json"
	"errors"
	"mime"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/internal/strictjson"
	"github.com/latchkey-api/latchkey/store"
)

// The parts of a request, as Field.Loc names them.
const (
	inBody  = "body"
	inQuery = "query"
)

// decodeBody reads the body as one JSON object into the struct that into points to. Names are exact and known, none
// occurs twice, nothing follows the object; a null counts as absent. The error is fault.UnsupportedMediaType or
// fault.Invalid.
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

// decodeOptionalBody is decodeBody for a body that may be left out. One that is empty is absent, whatever Content-Type
// says: many clients send the header with every POST.
func decodeOptionalBody(c *fiber.Ctx, into any) error {
	if len(c.BodyRaw()) == 0 {
		return nil
	}
	return decodeBody(c, into)
}

// maxDepth bounds how deep a body may nest. encoding/json has the same bound.
const maxDepth = 10_000

// decodeJSON is decodeBody without the headers. What strictjson refuses comes first, since encoding/json would keep the
// last of two values and take a name in another case for the known one.
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
		if !known[m.Name] {
			return bodyField("unknown field", "extra_forbidden")
		}
	}
	if err != nil { // a duplicate, behind the members
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

// jsonType is what JSON calls the values that a kind of Go value is read from.
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

// jsonNames are the member names of a request struct.
func jsonNames(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names[name] = true
		}
	}
	return names
}

// pathParam is a path parameter, percent-decoded once. Escapes were checked at the edge.
func pathParam(c *fiber.Ctx, name string) string {
	value, err := url.PathUnescape(c.Params(name))
	if err != nil {
		return ""
	}
	return value
}

// fields collects what is wrong with a request, so that the caller is told all of it at once.
type fields []fault.Field

func (f *fields) add(in, name, msg, kind string) {
	*f = append(*f, fault.Field{Loc: []string{in, name}, Msg: msg, Type: kind})
}

// err is nil where nothing was collected.
func (f *fields) err() error {
	if len(*f) == 0 {
		return nil
	}
	return fault.InvalidFields(*f...)
}

// query is a query value that must be there; an empty one counts as absent.
func (f *fields) query(c *fiber.Ctx, name string) string {
	value := c.Query(name)
	if value == "" {
		f.add(inQuery, name, "field required", "missing")
	}
	return value
}

// boolean is a query value that is true or false; absent is false.
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

// page reads which page of a list is asked for.
func (f *fields) page(c *fiber.Ctx, list store.List) store.Page {
	after, err := store.ParseCursor(list, c.Query("cursor"))
	if err != nil {
		f.add(inQuery, "cursor", "not a cursor of this list", "cursor_invalid")
	}
	return store.Page{Limit: f.limit(c), After: after}
}

// limit reads the limit of a list.
func (f *fields) limit(c *fiber.Ctx) int {
	text := c.Query("limit")
	if text == "" {
		return defaultLimit
	}
	limit, err := strconv.ParseUint(text, 10, 16)
	if err != nil || limit < 1 || limit > maxLimit {
		f.add(inQuery, "limit", "must be a whole number from 1 to "+strconv.Itoa(maxLimit), "int_range")
	}
	return int(limit)
}

// required checks a member that must be there, with at most that many characters.
func (f *fields) required(name, value string, most int) {
	if value == "" {
		f.add(inBody, name, "field required", "missing")
		return
	}
	f.optional(name, value, most)
}

// optional checks a member's length in characters, and that it has no zero byte, which no store keeps.
func (f *fields) optional(name, value string, most int) {
	if utf8.RuneCountInString(value) > most {
		f.add(inBody, name, "must have at most "+strconv.Itoa(most)+" characters", "string_too_long")
	}
	if strings.ContainsRune(value, 0) {
		f.add(inBody, name, "must not contain a zero character", "string_pattern_mismatch")
	}
}

// How many rows a list has.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// maxName is the longest username or id.
const maxName = 64

// plainName says whether s is 1..64 of [A-Za-z0-9._-], the alphabet of usernames and ids: it needs no escaping in a
// path, whoever builds it.
func plainName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
