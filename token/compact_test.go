package token_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/token"
)

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// compact encodes a header and a payload, and joins them with a signature.
func compact(header, payload string) string {
	return b64(header) + "." + b64(payload) + "." + b64("any signature")
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

// wantCode fails the test unless err has the code want, or is nil if wantErr is false.
func wantCode(t *testing.T, err error, want fault.Code, wantErr bool) {
	t.Helper()
	if !wantErr {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Errorf("accepted, want %v", want)
	} else if got := fault.CodeOf(err); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCheckCompact(t *testing.T) {
	good := compact(hs256, `{}`)
	header, rest, _ := strings.Cut(good, ".")
	long := func(n int) string { // a well-formed token of n bytes
		frame := len(b64(hs256)) + len(".e30.")
		return b64(hs256) + ".e30." + strings.Repeat("A", n-frame)
	}
	tests := []struct {
		name, raw string
		refused   bool
		code      fault.Code
	}{
		{name: "well formed", raw: good},
		{name: "as long as allowed", raw: long(token.MaxLength)},
		{"one byte longer", long(token.MaxLength + 1), true, fault.TokenTooLong},
		{"longer and full of dots", strings.Repeat(".", token.MaxLength+1), true, fault.TokenTooLong},
		{"empty", "", true, fault.TokenMalformed},
		{"one segment", header, true, fault.TokenMalformed},
		{"two segments", header + ".e30", true, fault.TokenMalformed},
		{"four segments", good + ".e30", true, fault.TokenMalformed},
		{"dots only", strings.Repeat(".", 2), true, fault.TokenMalformed},
		{"thousands of dots", strings.Repeat(".", 3000), true, fault.TokenMalformed},
		{"empty header", "." + rest, true, fault.TokenMalformed},
		{"empty payload", header + "..e30", true, fault.TokenMalformed},
		{"empty signature", header + ".e30.", true, fault.TokenMalformed},
		{"padding", good + "=", true, fault.TokenMalformed},
		{"standard alphabet", header + ".e30.ab+/", true, fault.TokenMalformed},
		{"line break in a segment", header + ".e30.ab\ncd", true, fault.TokenMalformed},
		{"carriage return in the header", header[:4] + "\r" + header[4:] + ".e30.abcd", true, fault.TokenMalformed},
		{"space", header + ".e30.ab cd", true, fault.TokenMalformed},
		{"zero byte", header + ".e30.ab\x00d", true, fault.TokenMalformed},
		{"not ASCII", header + ".e30.abé", true, fault.TokenMalformed},
		{"one character is no byte", header + ".e30.a", true, fault.TokenMalformed},
		{"five characters", header + ".e30.abcda", true, fault.TokenMalformed},
		{name: "two characters, unused bits zero", raw: header + ".e30.YQ"},
		{"two characters, unused bits set", header + ".e30.YR", true, fault.TokenMalformed},
		{name: "three characters, unused bits zero", raw: header + ".e30.YWE"},
		{"three characters, unused bits set", header + ".e30.YWF", true, fault.TokenMalformed},
		{"header not canonical", b64(`{"alg":"HS256" }`)[:21] + "R.e30.abcd", true, fault.TokenMalformed},
		{"header no JSON", compact(`alg`, `{}`), true, fault.TokenMalformed},
		{"header no object", compact(`["HS256"]`, `{}`), true, fault.TokenMalformed},
		{"header twice", compact(hs256+hs256, `{}`), true, fault.TokenMalformed},
		{"alg twice", compact(`{"alg":"none","alg":"HS256"}`, `{}`), true, fault.TokenMalformed},
		{"alg twice, once escaped", compact(`{"alg":"none","\u0061lg":"HS256"}`, `{}`), true, fault.TokenMalformed},
		{"header with a bad escape", compact(`{"alg":"\x"}`, `{}`), true, fault.TokenMalformed},
		{"header not UTF-8", compact("{\"alg\":\"\xff\"}", `{}`), true, fault.TokenMalformed},
		{"header nested too deep", compact(`{"x":`+strings.Repeat("[", 600)+strings.Repeat("]", 600)+`}`, `{}`), true, fault.TokenMalformed},
		{"payload null", compact(hs256, `null`), true, fault.TokenMalformed},
		{"payload null behind white space", compact(hs256, " \n\t\r null"), true, fault.TokenMalformed},
		{"payload white space", compact(hs256, "   "), true, fault.TokenMalformed},
		{"payload array", compact(hs256, `[]`), true, fault.TokenMalformed},
		{name: "payload behind white space", raw: compact(hs256, "    \n  {}")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantCode(t, token.CheckCompact(tt.raw), tt.code, tt.refused)
		})
	}
}

// FuzzCheckCompact checks with Go's strict decoder that no segment of an accepted token has a second spelling.
func FuzzCheckCompact(f *testing.F) {
	f.Add(compact(hs256, `{"exp":1}`))
	f.Add(compact(`{"alg":"HS256","x":{"y":["\ud83d\ude00",1e5,-0.5,true,null]}}`, ` {}`))
	f.Add(strings.Repeat(".", 4000))
	f.Add("e30.e30.YR")
	f.Fuzz(func(t *testing.T, raw string) {
		if token.CheckCompact(raw) != nil {
			return
		}
		segments := strings.Split(raw, ".")
		if len(raw) > token.MaxLength || len(segments) != 3 {
			t.Fatalf("accepted %q", raw)
		}
		for _, segment := range segments {
			decoded, err := base64.RawURLEncoding.Strict().DecodeString(segment)
			if err != nil || base64.RawURLEncoding.EncodeToString(decoded) != segment {
				t.Errorf("segment %q has another spelling", segment)
			}
		}
	})
}

func BenchmarkCheckCompact(b *testing.B) {
	raw := compact(hs256, `{"apiKey":"k","aud":"latchkey-api","iat":1763900000,"exp":1763900300,"jti":"4f0e"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := token.CheckCompact(raw); err != nil {
			b.Fatal(err)
		}
	}
}
