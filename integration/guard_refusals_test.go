package integration

import (
	"crypto/sha512"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// refusal is one row: a token, and the detail of its 401.
type refusal struct {
	name   string
	token  string
	detail string
}

// checkRefusals: each guarded operation refuses each row with the exact text and header, bare and with Bearer, for the shared
// key and for registered keys of both kinds.
func checkRefusals(t *testing.T, tg *harness.Target) {
	retired := tg.RetiredKeys(t)
	for _, op := range tg.OpenAPI(t).Guarded() {
		t.Run(op.ID, func(t *testing.T) {
			checkHeaderRefusals(t, tg, op)
			rows := append(refusals(tg.Secrets.Shared()), sharedRefusals(tg)...)
			for _, kind := range tg.Kinds() {
				rows = append(rows, refusals(tg.FullKeys[kind].Credential)...)
				rows = append(rows, registeredRefusals(t, tg, tg.FullKeys[kind])...)
			}
			for _, row := range append(rows, retiredRefusals(retired)...) {
				for _, scheme := range []string{"Bearer ", ""} {
					c := op.MustRequest(t)
					c.Auth = []string{scheme + row.token}
					a := tg.Do(t, c)
					before := t.Failed()
					a.IsRefused(t, http.StatusUnauthorized, row.detail,
						`Bearer realm="latchkey", error="invalid_token", error_description="`+row.detail+`"`)
					a.FitsDocumentation(t, op)
					a.IsNotStored(t)
					if !before && t.Failed() {
						t.Fatalf("the row is %q, with scheme %q", row.name, scheme)
					}
				}
			}
		})
	}
}

// checkHeaderRefusals: an Authorization header that is missing, blank or there twice.
func checkHeaderRefusals(t *testing.T, tg *harness.Target, op harness.Operation) {
	t.Helper()
	for _, auth := range [][]string{nil, {""}, {"   "}, {"\t"}} {
		c := op.MustRequest(t)
		c.Auth = auth
		a := tg.Do(t, c)
		a.IsRefused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)
		a.FitsDocumentation(t, op)
		a.IsNotStored(t)
	}
	good := tg.Secrets.Token()
	for _, auth := range [][]string{
		{"Bearer " + good, "Bearer " + good},
		{good, good},
		{"Bearer " + good, "Bearer x"},
		{"", "Bearer " + good},
		{"Bearer " + good, ""},
	} {
		c := op.MustRequest(t)
		c.Auth = auth
		a := tg.Do(t, c)
		a.IsRefused(t, http.StatusBadRequest, "more than one authorization header",
			`Bearer realm="latchkey", error="invalid_request", error_description="more than one authorization header"`)
		a.FitsDocumentation(t, op)
		a.IsNotStored(t)
	}
}

// refusals are rows for each check of a token, in the order of the checks, for a key of any kind.
func refusals(c harness.Credential) []refusal {
	return slices.Concat(
		all(harness.DecodingError+"token too long", tooLong(c)),
		all(harness.DecodingError+"malformed token", malformedText(c)),
		all(harness.DecodingError+"malformed token", malformedClaims(c)),
		all(harness.DecodingError+"key or algorithm not acceptable", wrongHeader(c)),
		all(harness.DecodingError+"key or algorithm not acceptable", wrongKid(c)),
		all(harness.DecodingError+"signature verification failed", wrongSignature(c)),
		all(harness.DecodingError+"signature has expired", expired(c)),
		all(harness.DecodingError+"token is not yet valid", notYetValid(c)),
		all(harness.DecodingError+"required claim missing", claimMissing(c)),
		all(harness.DecodingError+"invalid audience", wrongAudience(c)),
		all(harness.DecodingError+"token lifetime too long", lifetimeTooLong(c)),
		all("Missing API token", missingKey(c)),
		all("Incorrect API token", incorrectKey(c)),
	)
}

// all gives the rows the same detail.
func all(detail string, rows []refusal) []refusal {
	for i := range rows {
		rows[i].detail = detail
	}
	return rows
}

// sharedRefusals are the rows that only the shared key has.
func sharedRefusals(tg *harness.Target) []refusal {
	s := tg.Secrets
	good := s.Good().JSON()
	return slices.Concat(
		all(harness.DecodingError+"key or algorithm not acceptable", []refusal{
			{name: "HS384", token: harness.SignHMAC(sha512.New384, `{"alg":"HS384","typ":"JWT"}`, good, s.SecretKey)},
			{name: "HS512", token: harness.SignHMAC(sha512.New, `{"alg":"HS512","typ":"JWT"}`, good, s.SecretKey)},
			{name: "EdDSA", token: harness.SignHS256(`{"alg":"EdDSA","typ":"JWT"}`, good, s.SecretKey)},
		}),
		all(harness.DecodingError+"signature verification failed", []refusal{
			{name: "another secret", token: harness.SignHS256(harness.HeaderHS256, good, "not"+s.SecretKey)},
			{name: "empty secret", token: harness.SignHS256(harness.HeaderHS256, good, "")},
			{name: "the API key as the secret", token: harness.SignHS256(harness.HeaderHS256, good, s.APIKey)},
			{name: "signature of HS512", token: harness.SignHMAC(sha512.New, harness.HeaderHS256, good, s.SecretKey)},
		}),
	)
}

func tooLong(c harness.Credential) []refusal {
	return []refusal{
		{name: "a good token over 3 KiB", token: c.JWT(c.Good().With("pad", strings.Repeat("x", 3000)))},
		{name: "3 KiB and one byte of letters", token: strings.Repeat("a", 3<<10+1)},
		{name: "thousands of dots", token: strings.Repeat(".", 8000)},
	}
}

// malformedText are tokens that are not three segments of canonical base64url.
func malformedText(c harness.Credential) []refusal {
	good := c.Token()
	part := strings.Split(good, ".")
	h, p, sig := part[0], part[1], part[2]
	payload := c.Good().JSON()
	payload += strings.Repeat(" ", 3-len(payload)%3) + " " // one byte over a multiple of three: four unused bits
	spare := harness.Segment(c.Header) + "." + harness.NonCanonical(harness.Segment(payload))
	spare += "." + harness.Segment(c.Signature(spare))
	return []refusal{
		{name: "a word", token: "abc"},
		{name: "two segments", token: h + "." + p},
		{name: "four segments", token: good + "." + sig},
		{name: "five segments, as of a JWE", token: good + "." + sig + "." + sig},
		{name: "two dots", token: ".."},
		{name: "empty header", token: "." + p + "." + sig},
		{name: "empty payload", token: h + ".." + sig},
		{name: "empty signature", token: h + "." + p + "."},
		{name: "padding", token: good + "="},
		{name: "padding in the payload", token: h + "." + p + "=." + sig},
		{name: "alphabet of plain base64", token: h + "." + p + ".+/" + sig[2:]},
		{name: "unused bits of the signature", token: harness.NonCanonical(good)},
		{name: "unused bits of the payload", token: spare},
		{name: "a segment of one character", token: h + ".a." + sig},
		{name: "a space inside", token: h + "." + p + " ." + sig},
		{name: "a tab inside", token: h + "." + p + "\t." + sig},
		{name: "a letter outside ASCII", token: h + "." + p + ".\u00e9" + sig},
		{name: "a NUL written as an escape", token: h + "." + p + ".%00" + sig},
		{name: "a comma, as of two headers joined", token: good + ", " + good},
		{name: "another scheme", token: "Basic dXNlcjpwYXNzd29yZA=="},
		{name: "the scheme twice", token: "Bearer Bearer " + good},
	}
}

// malformedClaims have valid signatures, but lax JSON, or a claim of the wrong type or range.
func malformedClaims(c harness.Credential) []refusal {
	good := c.Good()
	text := strings.TrimSuffix(good.JSON(), "}")
	rows := []refusal{}
	header := strings.TrimSuffix(c.Header, "}")
	for _, header := range []string{
		`[]`, `null`, `"HS256"`, header, header + `} {}`, header + `,` + header[1:] + `}`, header + `,"x":` + deep(500) + `}`,
		header + ",\"x\":\"\xff\"}",
	} {
		rows = append(rows, refusal{name: "header " + header, token: c.Sign(header, good.JSON())})
	}
	for _, payload := range []string{
		`[]`, `null`, `1`, `"x"`, `{`, text, text + `}x`, text + `}{}`, text + `,}`,
		text + `,"exp":9999999999}`, text + `,"apiKey":"x"}`, text + `,"other":1,"other":2}`,
		text + `,"x":` + deep(500) + `}`,
		text + `,"x":` + strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat("}", 200) + `}`,
		text + ",\"x\":\"\xff\"}", text + ",\"x\":\"\x01\"}", text + `,"x":01}`, text + `,"x":NaN}`, text + `,'x':1}`,
		"\xef\xbb\xbf" + text + "}",
	} {
		rows = append(rows, refusal{name: "payload " + payload, token: c.Sign(c.Header, payload)})
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		rest := strings.TrimSuffix(good.Without(name).JSON(), "}")
		for _, value := range []string{
			`"` + strconv.FormatInt(time.Now().Unix()+300, 10) + `"`, `""`, `true`, `[1]`, `{}`,
			`-1`, `253402300800`, `1e300`, `1e400`, `99999999999999999999999999`,
		} {
			payload := rest + `,"` + name + `":` + value + `}`
			rows = append(rows, refusal{name: name + " " + value, token: c.Sign(c.Header, payload)})
		}
	}
	for _, name := range []string{"iss", "sub", "jti", "scope"} {
		for _, value := range []any{1, true, []string{"accounts:read"}, map[string]any{}} {
			rows = append(rows, refusal{name: name + " not a string", token: c.JWT(good.With(name, value))})
		}
	}
	for _, value := range []any{1, true, []any{1}, []any{c.Audience, 1}, []any{[]string{c.Audience}}, map[string]any{"a": c.Audience}} {
		rows = append(rows, refusal{name: "aud neither string nor list of strings", token: c.JWT(good.With("aud", value))})
	}
	return rows
}

// wrongHeader are tokens whose header differs from the one of this key.
func wrongHeader(c harness.Credential) []refusal {
	good := c.Good().JSON()
	rows := []refusal{}
	members := strings.TrimSuffix(c.Header, "}")
	for _, member := range []string{`"crit":["exp"]`, `"crit":[]`, `"crit":null`, `"b64":true`, `"b64":false,"crit":["b64"]`} {
		rows = append(rows, refusal{name: "header with " + member, token: c.Sign(members+","+member+"}", good)})
	}
	alg := harness.AlgMember.FindString(c.Header)
	for _, other := range []string{
		`"x":1`, `"alg":""`, `"alg":"none"`, `"alg":"None"`, `"alg":"NONE"`, `"alg":"hs256"`, `"alg":"eddsa"`, `"alg":"HS1"`,
		`"alg":"RS256"`, `"alg":"ES256"`, `"alg":"PS512"`, `"alg":"HS384"`, `"alg":"HS512"`, `"alg":"Ed25519"`, `"alg":"Ed448"`,
		strings.ToUpper(alg),
	} {
		rows = append(rows, refusal{name: "header with " + other, token: c.Sign(strings.Replace(c.Header, alg, other, 1), good)})
	}
	return rows
}

func wrongSignature(c harness.Credential) []refusal {
	part := strings.Split(c.Token(), ".")
	input := part[0] + "." + part[1]
	return []refusal{
		{name: "tampered payload", token: part[0] + "." + harness.Segment(c.Good().With("sub", "admin").JSON()) + "." + part[2]},
		{name: "tampered header", token: harness.Segment(strings.Replace(c.Header, `,"typ":"JWT"`, "", 1)) + "." + part[1] + "." + part[2]},
		{name: "of another text", token: c.Forged(c.Good())},
		{name: "half a signature", token: input + "." + harness.Segment(strings.Repeat("x", 16))},
		{name: "one byte", token: input + "." + harness.Segment("x")},
		{name: "twice the signature", token: input + "." + harness.Segment(c.Signature(input)+c.Signature(input))},
		{name: "zeros", token: input + "." + harness.Segment(strings.Repeat("\x00", len(c.Signature(input))))},
	}
}

func expired(c harness.Credential) []refusal {
	good, now := c.Good(), time.Now().Unix()
	return []refusal{
		{name: "a minute ago", token: c.JWT(good.With("iat", now-360).With("exp", now-60))},
		{name: "in 1970", token: c.JWT(good.With("iat", 0).With("exp", 1))},
		{name: "at zero", token: c.JWT(good.With("exp", 0))},
		{name: "EXP is another claim", token: c.JWT(good.With("iat", now-360).With("exp", now-60).With("EXP", now+300))},
	}
}

func notYetValid(c harness.Credential) []refusal {
	good, now := c.Good(), time.Now().Unix()
	return []refusal{
		{name: "nbf in two minutes", token: c.JWT(good.With("nbf", now+120))},
		{name: "iat in two minutes", token: c.JWT(good.With("iat", now+120).With("exp", now+300))},
		{name: "nbf in the year 9999", token: c.JWT(good.With("nbf", int64(253402300799)))},
	}
}

func claimMissing(c harness.Credential) []refusal {
	good := c.Good()
	return []refusal{
		{name: "exp", token: c.JWT(good.Without("exp"))},
		{name: "exp, but EXP", token: c.JWT(good.Without("exp").With("EXP", good["exp"]))},
		{name: "aud", token: c.JWT(good.Without("aud"))},
		{name: "iat and nbf", token: c.JWT(good.Without("iat"))},
		{name: "everything but the key", token: c.JWT(harness.Claims{"apiKey": c.APIKey})},
		{name: "everything", token: c.JWT(harness.Claims{})},
	}
}

func wrongAudience(c harness.Credential) []refusal {
	rows := []refusal{}
	for _, aud := range []any{
		"",
		[]string{},
		"other",
		[]string{"other"},
		[]string{""},
		c.Audience + " ", c.Audience + "x", c.Audience[1:],
		otherCase(c.Audience),
		[]string{"a", "b"},
	} {
		rows = append(rows, refusal{name: "aud", token: c.JWT(c.Good().With("aud", aud))})
	}
	return rows
}

func lifetimeTooLong(c harness.Credential) []refusal {
	good, now := c.Good(), time.Now().Unix()
	return []refusal{
		{name: "two hours", token: c.JWT(good.With("exp", now+7200))},
		{name: "two hours, nearly over", token: c.JWT(good.With("iat", now-7140).With("exp", now+60))},
		{name: "two hours from nbf", token: c.JWT(good.Without("iat").With("nbf", now).With("exp", now+7200))},
		{name: "to the year 9999", token: c.JWT(good.With("exp", int64(253402300799)))},
	}
}

func missingKey(c harness.Credential) []refusal {
	rows := []refusal{{name: "absent", token: c.JWT(c.Good().Without("apiKey"))}}
	for _, value := range []any{nil, "", false, 0, []any{}, map[string]any{}} {
		rows = append(rows, refusal{name: "empty", token: c.JWT(c.Good().With("apiKey", value))})
	}
	return append(rows, refusal{name: "apikey is another claim", token: c.JWT(c.Good().Without("apiKey").With("apikey", c.APIKey))})
}

func incorrectKey(c harness.Credential) []refusal {
	rows := []refusal{}
	for _, value := range []any{
		"wrong", c.APIKey + "x", c.APIKey[:len(c.APIKey)-1], otherCase(c.APIKey), " " + c.APIKey, "null", "0",
		true, 1, -1, 0.5,
		[]string{c.APIKey},
		map[string]any{"apiKey": c.APIKey},
		[]any{nil},
	} {
		rows = append(rows, refusal{name: "another value", token: c.JWT(c.Good().With("apiKey", value))})
	}
	return rows
}

// otherCase changes the case of text.
func otherCase(text string) string {
	if small := strings.ToLower(text); small != text {
		return small
	}
	return strings.ToUpper(text)
}
