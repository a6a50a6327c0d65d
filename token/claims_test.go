package token_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/token"
)

func TestClaimsUnmarshal(t *testing.T) {
	deep := func(n int) string { return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	many := func(last string) string {
		var b strings.Builder
		b.WriteString("{")
		for i := range 40 {
			fmt.Fprintf(&b, `"claim%d":1,`, i)
		}
		return b.String() + `"` + last + `":1}`
	}
	tests := []struct {
		name, payload string
		refused       bool
	}{
		{"nothing", `{}`, false},
		{"everything", `{"apiKey":"k","exp":2,"nbf":1,"iat":1,"aud":["a","b"],"iss":"i","sub":"s","jti":"j","scope":"x y"}`, false},
		{"unknown claims of any type", `{"a":null,"b":[1,{"c":"d"}],"c":-1.5e+3,"d":true,"e":false,"f":"\u00e9\ud83d\ude00"}`, false},
		{"white space everywhere", " {\t\"exp\" :\n1 , \"aud\" : [ \"a\" , \"b\" ]\r} ", false},
		{"dates at their ends", `{"exp":253402300799,"nbf":0,"iat":1e3}`, false},
		{"a date with a fraction", `{"exp":1.5}`, false},
		{"names in other cases are other claims", `{"EXP":"x","Aud":1,"SCOPE":[]}`, false},
		{"nested as deep as allowed", deep(31), false},
		{"many names", many("last"), false},

		{"nested too deep", deep(32), true},
		{"nested absurdly", deep(1000), true},
		{"exp twice", `{"exp":1,"exp":2}`, true},
		{"exp twice, once escaped", `{"exp":1,"\u0065xp":2}`, true},
		{"an unknown claim twice", `{"x":1,"x":1}`, true},
		{"twice inside a claim", `{"x":{"y":1,"y":1}}`, true},
		{"twice among many", many("claim2"), true},
		{"exp a string", `{"exp":"1"}`, true},
		{"exp null", `{"exp":null}`, true},
		{"exp true", `{"exp":true}`, true},
		{"exp an array", `{"exp":[1]}`, true},
		{"exp negative", `{"exp":-1}`, true},
		{"exp after the last year", `{"exp":253402300800}`, true},
		{"exp a little after", `{"exp":253402300799.5}`, true},
		{"exp beyond every number", `{"exp":1e999}`, true},
		{"nbf a string", `{"nbf":"1"}`, true},
		{"iat negative", `{"iat":-0.5}`, true},
		{"iss a number", `{"iss":1}`, true},
		{"sub null", `{"sub":null}`, true},
		{"jti an object", `{"jti":{}}`, true},
		{"scope an array", `{"scope":["accounts:read"]}`, true},
		{"aud a number", `{"aud":1}`, true},
		{"aud null", `{"aud":null}`, true},
		{"aud an object", `{"aud":{}}`, true},
		{"aud with a number in it", `{"aud":["a",1]}`, true},
		{"aud with an array in it", `{"aud":[["a"]]}`, true},
		{"a lone surrogate", `{"x":"\ud800"}`, true},
		{"a surrogate of the wrong half", `{"x":"\ud800\u0041"}`, true},
		{"not UTF-8", "{\"x\":\"\xff\"}", true},
		{"a control character", "{\"x\":\"\n\"}", true},
		{"a byte order mark", "\ufeff{}", true},
		{"a comma too many", `{"x":1,}`, true},
		{"a comma too many in an array", `{"aud":["a",]}`, true},
		{"a number with a leading zero", `{"x":01}`, true},
		{"a number with a plus", `{"x":+1}`, true},
		{"a number that ends in a point", `{"x":1.}`, true},
		{"an exponent without digits", `{"x":1e}`, true},
		{"NaN", `{"x":NaN}`, true},
		{"exp nan", `{"exp":nan}`, true},
		{"exp Infinity", `{"exp":Infinity}`, true},
		{"exp a hexadecimal number", `{"exp":0x1p4}`, true},
		{"an unknown claim beyond every number", `{"x":1e999}`, false},
		{"a word cut off", `{"x":tru}`, true},
		{"a name without quotes", `{x:1}`, true},
		{"cut off", `{"x":`, true},
		{"two objects", `{}{}`, true},
		{"empty", ``, true},
		{"an array", `[]`, true},
		{"a string", `"x"`, true},
		{"a number", `5`, true},
		{"null", `null`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c token.Claims
			wantCode(t, c.UnmarshalJSON([]byte(tt.payload)), fault.TokenMalformed, tt.refused)
		})
	}
}

func TestClaimsValues(t *testing.T) {
	var c token.Claims
	payload := `{"apiKey":"k\u0065y","exp":1763900300.25,"iss":"i","sub":"s\n","jti":"\u00e9\ud83d\ude00","scope":"a b"}`
	if err := json.Unmarshal([]byte(payload), &c); err != nil {
		t.Fatal(err)
	}
	key, present := c.APIKey()
	scope, hasScope := c.Scope()
	if key != "key" || !present || scope != "a b" || !hasScope || c.Issuer != "i" || c.Subject != "s\n" || c.ID != "é😀" {
		t.Errorf("read %+v", c)
	}
	if want := time.Unix(1763900300, 250_000_000).UTC(); !c.ExpiresAt().Equal(want) {
		t.Errorf("exp is %v, want %v", c.ExpiresAt(), want)
	}
}

func TestClaimsEmptyAPIKeyIsAbsent(t *testing.T) {
	tests := []struct {
		value   string
		present bool
	}{
		{`null`, false},
		{`""`, false},
		{`false`, false},
		{`0`, false},
		{`0.0`, false},
		{`-0`, false},
		{`0e5`, false},
		{`[]`, false},
		{`[ ]`, false},
		{`{}`, false},
		{"{\n}", false},
		{`"k"`, true},
		{`" "`, true},
		{`true`, true},
		{`1`, true},
		{`-1e-3`, true},
		{`1e999`, true},
		{`[0]`, true},
		{`{"a":0}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			var c token.Claims
			if err := c.UnmarshalJSON([]byte(`{"apiKey":` + tt.value + `}`)); err != nil {
				t.Fatal(err)
			}
			value, present := c.APIKey()
			if present != tt.present {
				t.Errorf("present is %v, want %v", present, tt.present)
			}
			if tt.value[0] != '"' && value != "" {
				t.Errorf("a value that is no string became %q", value)
			}
		})
	}
	var c token.Claims
	if _, present := c.APIKey(); present {
		t.Error("an absent claim is present")
	}
}

func TestClaimsKeepNothingOfARefusedPayload(t *testing.T) {
	var c token.Claims
	if err := c.UnmarshalJSON([]byte(`{"apiKey":"k","exp":1,"scope":"a","exp":"x"}`)); err == nil {
		t.Fatal("accepted")
	}
	if _, present := c.APIKey(); present || !c.ExpiresAt().IsZero() {
		t.Errorf("half of a refused payload was kept: %+v", c)
	}
}

// FuzzClaims compares the reader with encoding/json: it must accept every payload that the reader accepts, and read the
// same claims.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"apiKey":"k","exp":2,"nbf":1.5,"iat":1,"aud":["a","b"],"iss":"i","sub":"s","jti":"j","scope":"x y"}`,
		`{"aud":"latchkey-api","x":{"y":[{"z":null}]}}`, `{"\u0065xp":253402300799}`, `{"exp":1,"EXP":99}`,
		`{"jti":"\ud83d\ude00\"\\\/\b\f\n\r\t"}`, `null`, `[[[[`, `{"a":01}`, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var c token.Claims
		if err := c.UnmarshalJSON(payload); err != nil {
			if fault.CodeOf(err) != fault.TokenMalformed {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(payload, &members); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		for name, got := range map[string]string{"iss": c.Issuer, "sub": c.Subject, "jti": c.ID} {
			var want string
			if raw, ok := members[name]; ok && json.Unmarshal(raw, &want) != nil {
				t.Fatalf("%s is no string and was accepted", name)
			}
			if got != want {
				t.Errorf("%s is %q, encoding/json reads %q", name, got, want)
			}
		}
		var exp float64
		if raw, ok := members["exp"]; ok {
			if json.Unmarshal(raw, &exp) != nil {
				t.Fatal("exp is no number and was accepted")
			}
			if got := float64(c.ExpiresAt().UnixNano()) / 1e9; exp < 9e9 && math.Abs(got-exp) > 1e-3 {
				t.Errorf("exp is %v, encoding/json reads %v", got, exp)
			}
		}
	})
}

func BenchmarkClaims(b *testing.B) {
	payload := []byte(`{"apiKey":"k","aud":"latchkey-api","iat":1763900000,"exp":1763900300,"jti":"4f0e"}`)
	b.ReportAllocs()
	for b.Loop() {
		var c token.Claims
		if err := c.UnmarshalJSON(payload); err != nil {
			b.Fatal(err)
		}
	}
}
