package token_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/token"
)

func TestInspectVerifiesNothing(t *testing.T) {
	seen := token.Inspect(b64(`{"alg":"HS512","kid":"E0123456789A","crit":[],"b64":false}`) + "." +
		b64(`{"apiKey":"k","aud":["a","b"],"exp":30,"nbf":10,"iat":20}`) + "." + b64("no signature of anybody"))
	audience, present := seen.Claims.Audience()
	key, _ := seen.Claims.APIKey()
	if seen.Malformed != "" || seen.Algorithm != "HS512" || !seen.NamesKey || seen.KeyID != "E0123456789A" ||
		strings.Join(seen.Critical, ",") != "crit,b64" || strings.Join(audience, ",") != "a,b" || !present || key != "k" {
		t.Errorf("read %+v, audience %q", seen, audience)
	}
	for at, want := range map[time.Time]int64{seen.Claims.ExpiresAt(): 30, seen.Claims.NotBefore(): 10, seen.Claims.IssuedAt(): 20} {
		if at.Unix() != want {
			t.Errorf("read %v, want second %d", at, want)
		}
	}
	if fault.CodeOf(seen.Claims.Validate()) != fault.Internal {
		t.Error("claims that were only inspected have a policy")
	}

	empty := token.Inspect(b64(`{}`) + "." + b64(`{}`) + "." + b64("s"))
	_, present = empty.Claims.Audience()
	if empty.Malformed != "" || empty.NamesKey || present || !empty.Claims.IssuedAt().IsZero() || !empty.Claims.NotBefore().IsZero() {
		t.Errorf("a token without members: %+v", empty)
	}
	odd := token.Inspect(b64(`{"alg":1,"kid":["x"]}`) + "." + b64(`{"aud":[]}`) + "." + b64("s"))
	if audience, present := odd.Claims.Audience(); odd.Algorithm != "" || !odd.NamesKey || odd.KeyID != "" || !present || len(audience) != 0 {
		t.Errorf("odd types: %+v", odd)
	}
}

func TestInspectMalformed(t *testing.T) {
	header, payload, signature := b64(`{"alg":"HS256"}`), b64(`{"exp":1}`), b64("signed")
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	for _, tt := range []struct{ raw, want string }{
		{"", "this has 1"},
		{join(header, payload), "this has 2"},
		{join(header, payload, signature, "x", "y"), "this has 5"},
		{join("", payload, signature), "the header is empty"},
		{join(header, payload, ""), "the signature is empty"},
		{join(header, payload+"=", signature), "the payload has '=' in it"},
		{join(header, payload, "a+b"), "the signature has '+' in it"},
		{join(header, payload, "a\u009bb"), `the signature has '\u009b' in it`},
		{join(header, payload, "a\x1bb"), `the signature has '\x1b' in it`},
		{join(header, payload, "a\xffb"), `the signature has '\ufffd' in it`},
		{join("e31", payload, signature), "the header is cut off, or one of its characters was changed"},
		{join(header, payload, "abcde"), "the signature is cut off"},
		{join(b64(`[]`), payload, signature), "the header is not a strict JSON object"},
		{join(b64(`{"alg":"HS256","alg":"none"}`), payload, signature), "the header is not a strict JSON object"},
		{join(header, b64(`null`), signature), "the payload is not a strict JSON object"},
		{join(header, b64(`{"exp":"1"}`), signature), "the claim exp is a text"},
		{join(header, b64(`{"aud":1}`), signature), "the claim aud is a number"},
		{join(header, b64(`{"iss":1767225600123}`), signature), "the claim iss is a number"},
		{join(header, b64(`{"iat":1767225600123}`), signature), "the claim iat is a number that seems to count milliseconds"},
		{join(header, b64(`{"nbf":1767225600123456}`), signature), "the claim nbf is a number that seems to count microseconds"},
		{join(header, b64(`{"exp":1.767225600123456e18}`), signature), "the claim exp is a number that seems to count nanoseconds"},
		{join(header, b64(`{"exp":-1}`), signature), "the claim exp is a number"},
		{join(header, b64(`{"exp":1e400}`), signature), "the claim exp is a number"},
		{join(header, b64(`{"exp":[1]}`), signature), "the claim exp is a list"},
		{join(header, b64(`{"scope":["a"]}`), signature), "the claim scope is a list"},
		{join(header, b64(`{"aud":[1]}`), signature), "the claim aud is a list, or one of other values than texts"},
		{join(header, b64(`{"iss":{}}`), signature), "the claim iss is an object"},
		{join(header, b64(`{"sub":null}`), signature), "the claim sub is null"},
		{join(header, b64(`{"jti":true}`), signature), "the claim jti is true or false"},
	} {
		seen := token.Inspect(tt.raw)
		if !strings.Contains(seen.Malformed, tt.want) {
			t.Errorf("%q: %q, want %q", tt.raw, seen.Malformed, tt.want)
		}
		if _, of, _ := strings.Cut(tt.want, "the claim "); seen.Claim != strings.SplitN(of, " ", 2)[0] {
			t.Errorf("%q: the claim is %q", tt.raw, seen.Claim)
		}
	}
}

// FuzzInspect checks that Inspect calls a token malformed if and only if the service refuses it as malformed.
func FuzzInspect(f *testing.F) {
	for _, payload := range []string{`{}`, `null`, ` {"exp":1}`, `{"exp":"1"}`, `{"a":1,"a":2}`, `[]`, ``, "{\"\xff\":1}"} {
		f.Add(b64(`{"alg":"HS256"}`) + "." + b64(payload) + "." + b64("s"))
	}
	f.Add("a.b.c")
	f.Add("....")
	f.Add("e30.e31.e30")
	f.Fuzz(func(t *testing.T, raw string) {
		err := token.CheckCompact(raw)
		if fault.CodeOf(err) == fault.TokenTooLong && err != nil {
			return
		}
		if err == nil {
			payload, decoding := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
			if decoding != nil {
				t.Fatal(decoding)
			}
			err = new(token.Claims).UnmarshalJSON(payload)
		}
		said := token.Inspect(raw).Malformed
		if (said != "") != (err != nil) {
			t.Errorf("%q is judged %v and called %q", raw, err, said)
		}
		for _, c := range said {
			if c < ' ' || c > '~' {
				t.Errorf("%q is called %q", raw, said)
			}
		}
	})
}
