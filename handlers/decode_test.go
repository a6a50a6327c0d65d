package handlers

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
)

// detail returns the detail of a refusal, as callers read it.
func detail(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != fault.Invalid {
		t.Fatalf("refused with %v", err)
	}
	text, err := json.Marshal(f.Fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDecodeJSON(t *testing.T) {
	const (
		invalid   = `[{"loc":["body"],"msg":"not valid JSON","type":"json_invalid"}]`
		unknown   = `[{"loc":["body"],"msg":"unknown field; there are: username, id, email, first_name, last_name, avatar_url","type":"extra_forbidden"}]`
		duplicate = `[{"loc":["body"],"msg":"duplicate member","type":"json_invalid"}]`
		object    = `[{"loc":["body"],"msg":"must be an object","type":"object_type"}]`
		noText    = `[{"loc":["body","email"],"msg":"must be a string","type":"string_type"}]`
	)
	nested := func(levels int) string { // the object is the first level
		return `{"email":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + "}"
	}
	tests := []struct{ name, body, want string }{
		{"good", `{"username":"alice","email":"a@b"}`, ""},
		{"white space around it", " \n{\"username\":\"alice\"}\t", ""},
		{"null counts as absent", `{"username":"alice","email":null}`, ""},
		{"no members", `{}`, ""},
		{"empty", ``, invalid},
		{"no JSON", `username=alice`, invalid},
		{"cut off", `{"username":"alice"`, invalid},
		{"two values", `{"username":"alice"}{}`, invalid},
		{"something behind it", `{"username":"alice"} x`, invalid},
		{"a comma too many", `{"username":"alice",}`, invalid},
		{"not UTF-8", "{\"username\":\"\xff\"}", invalid},
		{"a pair of surrogates", `{"email":"\ud83d\ude00 \\ud83d \u00e9"}`, ""},
		{"half a pair", `{"email":"\ud83d"}`, invalid},
		{"the second half", `{"email":"\ude00"}`, invalid},
		{"two first halves", `{"email":"\ud83d\ud83d"}`, invalid},
		{"halves apart", `{"email":"\ud83d \ude00"}`, invalid},
		{"half a pair in a name", `{"\ud83d":1}`, invalid},
		{"binary", "\x00\x01\x02", invalid},
		{"NaN", `{"email":NaN}`, invalid},
		{"Infinity", `{"email":-Infinity}`, invalid},
		{"a number beyond every range", `{"email":1e999}`, noText},
		{"as deep as allowed", nested(10_000), noText},
		{"one level deeper", nested(10_001), invalid},
		{"deeply nested", strings.Repeat(`[`, 60_000), invalid},
		{"deeply nested and closed", strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000), invalid},
		{"nested", `{"email":[[[[]]]]}`, noText},
		{"an unknown member", `{"username":"alice","admin":true}`, unknown},
		{"an unknown member with an object", `{"x":{"username":"alice"}}`, unknown},
		{"a member in another case", `{"Username":"alice"}`, unknown},
		{"an empty name", `{"":1}`, unknown},
		{"twice", `{"username":"alice","username":"bob"}`, duplicate},
		{"twice, once escaped", `{"username":"alice","\u0075sername":"bob"}`, duplicate},
		{"twice further in", `{"email":{"a":1,"a":2}}`, duplicate},
		{"twice in an array", `{"email":[{"a":1,"a":2}]}`, duplicate},
		{"an unknown member, then one twice", `{"x":1,"username":"a","username":"b"}`, unknown},
		{"a member twice, then an unknown one", `{"username":"a","username":"b","x":1}`, duplicate},
		{"an unknown member twice", `{"x":1,"x":2}`, unknown},
		{"an unknown member with a name twice in it", `{"x":{"a":1,"a":2}}`, unknown},
		{"a member twice and of another type", `{"email":5,"email":5}`, duplicate},
		{"a member twice, then cut off", `{"email":"a","email":"b"`, invalid},
		{"an unknown member, then half a pair", `{"x":"\ud83d"}`, invalid},
		{"an array with a member twice", `[{"a":1,"a":2}]`, object},
		{"a value that is a known name", `{"username":"username","email":"email"}`, ""},
		{"a number for a text", `{"email":5}`, noText},
		{"an object for a text", `{"email":{}}`, noText},
		{"an array", `["alice"]`, object},
		{"a text", `"alice"`, object},
		{"a number", `5`, object},
		{"null", `null`, object},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var in RegisterAccount
			if got := detail(t, decodeJSON([]byte(tt.body), &in)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDecodeJSONNumbers(t *testing.T) {
	const (
		noNumber = `[{"loc":["body","rate"],"msg":"must be a number","type":"number_type"}]`
		noWhole  = `[{"loc":["body","burst"],"msg":"must be a whole number","type":"whole_number_type"}]`
		invalid  = `[{"loc":["body"],"msg":"not valid JSON","type":"json_invalid"}]`
	)
	for _, tt := range []struct{ body, want string }{
		{`{"rate":0.5,"burst":7}`, ""},
		{`{"rate":1e308}`, ""},
		{`{"rate":1e309}`, noNumber},
		{`{"rate":"1"}`, noNumber},
		{`{"rate":true}`, noNumber},
		{`{"burst":9223372036854775807}`, ""},
		{`{"burst":9223372036854775808}`, noWhole},
		{`{"burst":1.5}`, noWhole},
		{`{"burst":1e2}`, noWhole},
		{`{"burst":"1","rate":"1"}`, noWhole},
		{`{"rate":NaN}`, invalid},
		{`{"rate":nan}`, invalid},
		{`{"rate":Infinity}`, invalid},
		{`{"rate":0x1}`, invalid},
		{`{"rate":.5}`, invalid},
		{`{"rate":+1}`, invalid},
		{`{"rate":01}`, invalid},
	} {
		t.Run(tt.body, func(t *testing.T) {
			var in CreateKey
			if got := detail(t, decodeJSON([]byte(tt.body), &in)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestRegisterAccountCheck(t *testing.T) {
	good := RegisterAccount{Username: "alice"}
	with := func(change func(*RegisterAccount)) RegisterAccount {
		in := good
		change(&in)
		return in
	}
	tests := []struct {
		name string
		in   RegisterAccount
		locs string // "" for none
	}{
		{"good", good, ""},
		{"every character", with(func(in *RegisterAccount) { in.Username = "AZaz09._-" }), ""},
		{"three dots are a name", with(func(in *RegisterAccount) { in.Username = "..." }), ""},
		{"longest", with(func(in *RegisterAccount) { in.Username = strings.Repeat("a", 64) }), ""},
		{"names count in characters", with(func(in *RegisterAccount) { in.FirstName = strings.Repeat("é", 120) }), ""},
		{"absent", RegisterAccount{}, "username"},
		{"too long", with(func(in *RegisterAccount) { in.Username = strings.Repeat("a", 65) }), "username"},
		{"a dot", with(func(in *RegisterAccount) { in.Username = "." }), "username"},
		{"two dots", with(func(in *RegisterAccount) { in.Username = ".." }), "username"},
		{"the path of the route", with(func(in *RegisterAccount) { in.Username = "register" }), "username"},
		{"a slash", with(func(in *RegisterAccount) { in.Username = "a/b" }), "username"},
		{"a space", with(func(in *RegisterAccount) { in.Username = "a b" }), "username"},
		{"emoji", with(func(in *RegisterAccount) { in.Username = "😀" }), "username"},
		{"right to left", with(func(in *RegisterAccount) { in.Username = "a\u202eb" }), "username"},
		{"SQL", with(func(in *RegisterAccount) { in.Username = "a';--" }), "username"},
		{"zero", with(func(in *RegisterAccount) { in.Username = "a\x00" }), "username"},
		{"an id outside the alphabet", with(func(in *RegisterAccount) { in.ID = "a b" }), "id"},
		{"a zero in a name", with(func(in *RegisterAccount) { in.LastName = "a\x00" }), "last_name"},
		{"all at once", RegisterAccount{ID: "/", Email: strings.Repeat("e", 255), AvatarURL: strings.Repeat("e", 2049)}, "username id email avatar_url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var locs []string
			if f, ok := errors.AsType[*fault.Error](tt.in.check()); ok {
				for _, field := range f.Fields {
					locs = append(locs, field.Loc[len(field.Loc)-1])
				}
			}
			if got := strings.Join(locs, " "); got != tt.locs {
				t.Errorf("refused because of %q, want %q", got, tt.locs)
			}
		})
	}
}

// FuzzDecodeJSON compares the decoder with encoding/json: it must accept every body that the decoder accepts, and read the
// same values. A refusal must name only members of the struct.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{"username":"alice","email":"a@b"}`, `{"username":"a","username":"b"}`, `{"Username":"a"}`, `[]`, `null`, `{"email":{"a":[1]}}`,
		`{"email":5}`, `{"\u0075sername":"x"}`, `{}{}`, "{\"username\":\"\xff\"}", `{"id":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want RegisterAccount
		if err := decodeJSON(body, &got); err != nil {
			fault, ok := errors.AsType[*fault.Error](err)
			if !ok || len(fault.Fields) == 0 {
				t.Fatalf("refused with %v", err)
			}
			for _, field := range fault.Fields {
				if last := field.Loc[len(field.Loc)-1]; last != inBody && !strings.Contains(" username id email first_name last_name avatar_url ", " "+last+" ") {
					t.Errorf("names %q", last)
				}
			}
			return
		}
		if err := json.Unmarshal(body, &want); err != nil || got != want {
			t.Errorf("read %+v, encoding/json reads %+v, %v", got, want, err)
		}
	})
}

func BenchmarkDecodeJSON(b *testing.B) {
	body := []byte(`{"username":"alice","email":"alice@example.com"}`)
	b.ReportAllocs()
	for b.Loop() {
		var in RegisterAccount
		if err := decodeJSON(body, &in); err != nil {
			b.Fatal(err)
		}
	}
}
