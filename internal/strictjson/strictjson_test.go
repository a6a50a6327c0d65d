package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/latchkey-api/latchkey/internal/strictjson"
)

// arrays nests arrays in a member; the object around them is one level more.
func arrays(levels int) string {
	return `{"x":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}`
}

func objects(levels int) string {
	return strings.Repeat(`{"x":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
}

// names is an object with n members and one called last.
func names(n int, last string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"n%d":1,`, i)
	}
	return "{" + b.String() + `"` + last + `":1}`
}

func TestObject(t *testing.T) {
	const maxDepth = 8
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"no members", `{}`, nil},
		{"values of every type", `{"a":null,"b":[1,{"c":"d"},[]],"c":-1.5e+3,"d":true,"e":false,"f":{}}`, nil},
		{"white space everywhere", " {\t\"a\" :\n1 , \"b\" : [ \"a\" , { } , [ ] ]\r} ", nil},
		{"numbers of every spelling", `{"a":[0,-0,10,1.50,1e5,1E-5,1e+05,0.0e0]}`, nil},
		{"a number beyond every range", `{"a":1e999,"b":123456789012345678901234567890}`, nil},
		{"every escape", `{"a":"\"\\\/\b\f\n\r\t\u00e9\uD83D\ude00"}`, nil},
		{"an escaped backslash before u", `{"a":"\\ud83d"}`, nil},
		{"names in other cases are other names", `{"exp":1,"EXP":2,"Exp":3}`, nil},
		{"names of other normal forms are other names", "{\"\u00e9\":1,\"e\u0301\":2}", nil},
		{"an empty name", `{"":1}`, nil},
		{"the same name in other objects", `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}`, nil},
		{"a value that is the name of another member", `{"a":"b","b":"a"}`, nil},
		{"arrays as deep as allowed", arrays(maxDepth - 1), nil},
		{"objects as deep as allowed", objects(maxDepth), nil},
		{"many names", names(100, "last"), nil},

		{"a name twice", `{"a":1,"a":1}`, strictjson.ErrDuplicate},
		{"a name twice, once escaped", `{"a":1,"\u0061":2}`, strictjson.ErrDuplicate},
		{"a name twice, escaped in two ways", `{"\u002f":1,"\/":2}`, strictjson.ErrDuplicate},
		{"a name twice, once as surrogates", `{"😀":1,"\ud83d\ude00":2}`, strictjson.ErrDuplicate},
		{"an empty name twice", `{"":1,"":2}`, strictjson.ErrDuplicate},
		{"a name twice in a member", `{"a":{"b":1,"b":1}}`, strictjson.ErrDuplicate},
		{"a name twice in an array", `{"a":[{"b":1,"b":1}]}`, strictjson.ErrDuplicate},
		{"a name twice around an object", `{"a":1,"b":{"c":{}},"a":1}`, strictjson.ErrDuplicate},
		{"a name twice among many, early", names(100, "n2"), strictjson.ErrDuplicate},
		{"a name twice among many, late", names(100, "n99"), strictjson.ErrDuplicate},
		{"a name twice, the sixteenth", names(16, "n15"), strictjson.ErrDuplicate},
		{"a name twice, the seventeenth", names(17, "n16"), strictjson.ErrDuplicate},

		{"an array", `[]`, strictjson.ErrNotObject},
		{"an array with an object", `[{"a":1}]`, strictjson.ErrNotObject},
		{"an array with a name twice", `[{"a":1,"a":1}]`, strictjson.ErrNotObject},
		{"a string", `"x"`, strictjson.ErrNotObject},
		{"a number", ` 5 `, strictjson.ErrNotObject},
		{"null", `null`, strictjson.ErrNotObject},

		{"empty", ``, strictjson.ErrSyntax},
		{"white space only", " \n", strictjson.ErrSyntax},
		{"two objects", `{}{}`, strictjson.ErrSyntax},
		{"a word behind the object", `{} x`, strictjson.ErrSyntax},
		{"a zero byte behind the object", "{}\x00", strictjson.ErrSyntax},
		{"a bracket behind the object", `{}}`, strictjson.ErrSyntax},
		{"an array and more", `[],`, strictjson.ErrSyntax},
		{"a name twice, then no JSON", `{"a":1,"a":1`, strictjson.ErrSyntax},
		{"a name twice, then half a surrogate pair", `{"a":1,"a":"\ud83d"}`, strictjson.ErrSyntax},
		{"arrays too deep", arrays(maxDepth), strictjson.ErrSyntax},
		{"objects too deep", objects(maxDepth + 1), strictjson.ErrSyntax},
		{"a million brackets", strings.Repeat("[", 1_000_000), strictjson.ErrSyntax},
		{"brackets that cross", `{"a":[}]`, strictjson.ErrSyntax},
		{"a member in an array", `{"a":["b":1]}`, strictjson.ErrSyntax},
		{"an object without names", `{1,2}`, strictjson.ErrSyntax},
		{"a name without quotes", `{x:1}`, strictjson.ErrSyntax},
		{"a name in single quotes", `{'x':1}`, strictjson.ErrSyntax},
		{"a name without a value", `{"x"}`, strictjson.ErrSyntax},
		{"a colon without a value", `{"x":}`, strictjson.ErrSyntax},
		{"a comma too many", `{"x":1,}`, strictjson.ErrSyntax},
		{"a comma too many in an array", `{"x":[1,]}`, strictjson.ErrSyntax},
		{"a comma first", `{,"x":1}`, strictjson.ErrSyntax},
		{"no comma", `{"x":1 "y":2}`, strictjson.ErrSyntax},
		{"a comment", `{"x":1/**/}`, strictjson.ErrSyntax},
		{"cut off", `{"x":`, strictjson.ErrSyntax},
		{"cut off in a string", `{"x":"a`, strictjson.ErrSyntax},
		{"cut off in an escape", `{"x":"\`, strictjson.ErrSyntax},
		{"cut off in a numbered escape", `{"x":"\u00`, strictjson.ErrSyntax},
		{"cut off in a surrogate pair", `{"x":"\ud83d\`, strictjson.ErrSyntax},
		{"an unknown escape", `{"x":"\x"}`, strictjson.ErrSyntax},
		{"an escape with other digits", `{"x":"\u00g0"}`, strictjson.ErrSyntax},
		{"an escape with a sign", `{"x":"\u+0e9"}`, strictjson.ErrSyntax},
		{"an escape with a separator", `{"x":"\u0_e9"}`, strictjson.ErrSyntax},
		{"the first half of a surrogate pair", `{"x":"\ud83d"}`, strictjson.ErrSyntax},
		{"the second half of a surrogate pair", `{"x":"\ude00"}`, strictjson.ErrSyntax},
		{"two first halves", `{"x":"\ud83d\ud83d"}`, strictjson.ErrSyntax},
		{"halves in the wrong order", `{"x":"\ude00\ud83d"}`, strictjson.ErrSyntax},
		{"halves apart", `{"x":"\ud83d \ude00"}`, strictjson.ErrSyntax},
		{"half a pair in a name", `{"\ud83d":1}`, strictjson.ErrSyntax},
		{"not UTF-8", "{\"x\":\"\xff\"}", strictjson.ErrSyntax},
		{"not UTF-8 in a name", "{\"\xff\":1}", strictjson.ErrSyntax},
		{"a surrogate as UTF-8", "{\"x\":\"\xed\xa0\xbd\"}", strictjson.ErrSyntax},
		{"an overlong zero", "{\"x\":\"\xc0\x80\"}", strictjson.ErrSyntax},
		{"a byte order mark", "\ufeff{}", strictjson.ErrSyntax},
		{"UTF-16", "{\x00}\x00", strictjson.ErrSyntax},
		{"white space that is not JSON's", "{\u00a0}", strictjson.ErrSyntax},
		{"a control character in a string", "{\"x\":\"\n\"}", strictjson.ErrSyntax},
		{"a zero byte in a string", "{\"x\":\"\x00\"}", strictjson.ErrSyntax},
		{"NaN", `{"x":NaN}`, strictjson.ErrSyntax},
		{"nan", `{"x":nan}`, strictjson.ErrSyntax},
		{"-NaN", `{"x":-NaN}`, strictjson.ErrSyntax},
		{"Infinity", `{"x":Infinity}`, strictjson.ErrSyntax},
		{"-Infinity", `{"x":-Infinity}`, strictjson.ErrSyntax},
		{"inf", `{"x":inf}`, strictjson.ErrSyntax},
		{"a minus alone", `{"x":-}`, strictjson.ErrSyntax},
		{"a plus", `{"x":+1}`, strictjson.ErrSyntax},
		{"a leading zero", `{"x":01}`, strictjson.ErrSyntax},
		{"a point first", `{"x":.5}`, strictjson.ErrSyntax},
		{"a point last", `{"x":1.}`, strictjson.ErrSyntax},
		{"an exponent without digits", `{"x":1e}`, strictjson.ErrSyntax},
		{"an exponent with a sign only", `{"x":1e+}`, strictjson.ErrSyntax},
		{"a hexadecimal number", `{"x":0x1}`, strictjson.ErrSyntax},
		{"a number with a separator", `{"x":1_0}`, strictjson.ErrSyntax},
		{"a word in another case", `{"x":True}`, strictjson.ErrSyntax},
		{"a word cut off", `{"x":tru}`, strictjson.ErrSyntax},
		{"a word that goes on", `{"x":nullx}`, strictjson.ErrSyntax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := strictjson.Object([]byte(tt.text), maxDepth); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestObjectMembers(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []strictjson.Member
	}{
		{"names without escapes, values as written", ` { "a\u002fb" : "\u0061" , "c":[ 1 ] , "d":{ "e" :{}} }`, []strictjson.Member{{"a/b", `"\u0061"`}, {"c", `[ 1 ]`}, {"d", `{ "e" :{}}`}}},
		{"up to a duplicate", `{"a":1,"b":2,"a":3,"c":4}`, []strictjson.Member{{"a", `1`}, {"b", `2`}}},
		{"up to a duplicate in the second", `{"a":1,"b":{"x":1,"x":1},"c":4}`, []strictjson.Member{{"a", `1`}, {"b", ``}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := strictjson.Object([]byte(tt.text), 8); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestString(t *testing.T) {
	if got, ok := strictjson.String(`"\"\\\/\b\f\n\r\t\u00E9\ud83d\ude00é"`); got != "\"\\/\b\f\n\r\té😀é" || !ok {
		t.Errorf("read %q, %v", got, ok)
	}
	for _, value := range []string{``, `1`, `null`, `["a"]`, `{"a":1}`, `true`, `"`} {
		if got, ok := strictjson.String(value); ok || got != "" {
			t.Errorf("%s is taken for the string %q", value, got)
		}
	}
}

func TestStrings(t *testing.T) {
	if got, ok := strictjson.Strings(`[ "a" , "\u0062",""]`); !ok || !slices.Equal(got, []string{"a", "b", ""}) {
		t.Errorf("read %q, %v", got, ok)
	}
	if got, ok := strictjson.Strings(`[ ]`); !ok || len(got) != 0 {
		t.Errorf("an empty array is %q, %v", got, ok)
	}
	for _, value := range []string{``, `1`, `"a"`, `{"a":"b"}`, `["a",1]`, `[["a"]]`, `[null]`, `["a"`} {
		if got, ok := strictjson.Strings(value); ok {
			t.Errorf("%s is taken for the list %q", value, got)
		}
	}
}

// FuzzObject compares the reader with encoding/json. Both refuse the same texts, but for half surrogate pairs; and an
// object has a duplicate where encoding/json keeps fewer members than it has colons.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"a":1,"b":[true,null,{"c":"d"}],"e":-1.5e+3}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`,
		`[{"a":1,"a":1}]`, `null`, `"x"`, `{}{}`, `[[[[`, `{"a":01}`, "{\"\xff\":1}", `{"a":"\"\\\/\b\f\n\r\t:"}`, `{"a":[1,]}`, names(20, "n3"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		members, err := strictjson.Object(text, 10_000)
		if errors.Is(err, strictjson.ErrSyntax) {
			lower := bytes.ToLower(text)
			if utf8.Valid(text) && json.Valid(text) && !bytes.Contains(lower, []byte(`\ud`)) {
				t.Fatal("refused")
			}
			return
		}
		var value any
		if decoding := json.Unmarshal(text, &value); decoding != nil && json.Valid(text) {
			return // a number that no float64 holds
		} else if decoding != nil || !utf8.Valid(text) {
			t.Fatalf("%v, but encoding/json says %v", err, decoding)
		}
		if _, isObject := value.(map[string]any); !isObject {
			if !errors.Is(err, strictjson.ErrNotObject) {
				t.Fatalf("no object, but %v", err)
			}
			return
		}
		if duplicate := colons(text) > size(value); duplicate != errors.Is(err, strictjson.ErrDuplicate) {
			t.Fatalf("duplicate is %v, but %v", duplicate, err)
		}
		if err != nil {
			return
		}
		raw := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &raw); err != nil || len(raw) != len(members) {
			t.Fatalf("%d members, encoding/json reads %d, %v", len(members), len(raw), err)
		}
		for _, m := range members {
			if string(raw[m.Name]) != m.Value {
				t.Errorf("%q is %s, encoding/json reads %s", m.Name, m.Value, raw[m.Name])
			}
			var want string
			isString := m.Value[0] == '"' && json.Unmarshal(raw[m.Name], &want) == nil
			if got, ok := strictjson.String(m.Value); ok != isString || got != want {
				t.Errorf("%s is %q, encoding/json reads %q", m.Value, got, want)
			}
		}
	})
}

// colons counts the members of every object in a JSON text.
func colons(text []byte) int {
	count, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case c == '\\':
			i++
		case c == ':' && !inString:
			count++
		}
	}
	return count
}

// size counts the members of every object in a decoded value.
func size(value any) int {
	count := 0
	switch value := value.(type) {
	case map[string]any:
		count = len(value)
		for _, inner := range value {
			count += size(inner)
		}
	case []any:
		for _, inner := range value {
			count += size(inner)
		}
	}
	return count
}

func BenchmarkObject(b *testing.B) {
	for _, bench := range []struct{ name, text string }{
		{"claims", `{"apiKey":"k","aud":"latchkey-api","iat":1763900000,"exp":1763900300,"jti":"4f0e"}`},
		{"5000 names", names(5000, "last")},
		{"10000 levels", objects(10_000)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			text := []byte(bench.text)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := strictjson.Object(text, 10_000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
