package integration

import (
	"crypto/sha512"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refusal is one row: the Authorization lines of a request, and the 401 text they get.
type refusal struct {
	name   string
	token  string
	detail string
}

// checkRefusals: each guarded operation refuses each row, with Bearer and bare alike, with the exact text and header:
// for the shared key, and for registered ones of both kinds.
func checkRefusals(t *testing.T, tg *target) {
	retired := tg.retired(t)
	for _, op := range tg.openapi(t).guarded() {
		t.Run(op.ID, func(t *testing.T) {
			checkHeaderRefusals(t, tg, op)
			rows := append(refusals(tg.secrets.shared()), sharedRefusals(tg)...)
			for _, kind := range tg.kinds() {
				rows = append(rows, refusals(tg.every[kind].credential)...)
				rows = append(rows, registeredRefusals(t, tg, tg.every[kind])...)
			}
			for _, row := range append(rows, retiredRefusals(retired)...) {
				for _, scheme := range []string{"Bearer ", ""} {
					c := op.mustRequest(t)
					c.auth = []string{scheme + row.token}
					a := tg.do(t, c)
					before := t.Failed()
					a.refused(t, http.StatusUnauthorized, row.detail,
						`Bearer realm="latchkey", error="invalid_token", error_description="`+row.detail+`"`)
					a.fitsDocumentation(t, op)
					a.notStored(t)
					if !before && t.Failed() {
						t.Fatalf("the row is %q, with scheme %q", row.name, scheme)
					}
				}
			}
		})
	}
}

// checkHeaderRefusals: what is wrong with the header itself.
func checkHeaderRefusals(t *testing.T, tg *target, op operation) {
	t.Helper()
	for _, auth := range [][]string{nil, {""}, {"   "}, {"\t"}} {
		c := op.mustRequest(t)
		c.auth = auth
		a := tg.do(t, c)
		a.refused(t, http.StatusUnauthorized, "authorization header missing", `Bearer realm="latchkey"`)
		a.fitsDocumentation(t, op)
		a.notStored(t)
	}
	good := tg.secrets.token()
	for _, auth := range [][]string{
		{"Bearer " + good, "Bearer " + good},
		{good, good},
		{"Bearer " + good, "Bearer x"},
		{"", "Bearer " + good},
		{"Bearer " + good, ""},
	} {
		c := op.mustRequest(t)
		c.auth = auth
		a := tg.do(t, c)
		a.refused(t, http.StatusBadRequest, "more than one authorization header",
			`Bearer realm="latchkey", error="invalid_request", error_description="more than one authorization header"`)
		a.fitsDocumentation(t, op)
		a.notStored(t)
	}
}

// refusals are the rows of every check that a token must pass, in the order of the checks, for a key of any kind.
func refusals(c credential) []refusal {
	return slices.Concat(
		all(decodingError+"token too long", tooLong(c)),
		all(decodingError+"malformed token", malformedText(c)),
		all(decodingError+"malformed token", malformedClaims(c)),
		all(decodingError+"key or algorithm not acceptable", wrongHeader(c)),
		all(decodingError+"key or algorithm not acceptable", wrongKid(c)),
		all(decodingError+"signature verification failed", wrongSignature(c)),
		all(decodingError+"signature has expired", expired(c)),
		all(decodingError+"token is not yet valid", notYetValid(c)),
		all(decodingError+"required claim missing", claimMissing(c)),
		all(decodingError+"invalid audience", wrongAudience(c)),
		all(decodingError+"token lifetime too long", lifetimeTooLong(c)),
		all("Missing API token", missingKey(c)),
		all("Incorrect API token", incorrectKey(c)),
	)
}

// all is rows that are refused with the same text.
func all(detail string, rows []refusal) []refusal {
	for i := range rows {
		rows[i].detail = detail
	}
	return rows
}

// sharedRefusals are the rows that only the shared key has.
func sharedRefusals(tg *target) []refusal {
	s := tg.secrets
	good := s.good().json()
	return slices.Concat(
		all(decodingError+"key or algorithm not acceptable", []refusal{
			{name: "HS384", token: signedWith(sha512.New384, `{"alg":"HS384","typ":"JWT"}`, good, s.secretKey)},
			{name: "HS512", token: signedWith(sha512.New, `{"alg":"HS512","typ":"JWT"}`, good, s.secretKey)},
			{name: "EdDSA", token: signed(`{"alg":"EdDSA","typ":"JWT"}`, good, s.secretKey)},
		}),
		all(decodingError+"signature verification failed", []refusal{
			{name: "another secret", token: signed(headerHS256, good, "not"+s.secretKey)},
			{name: "empty secret", token: signed(headerHS256, good, "")},
			{name: "the API key as the secret", token: signed(headerHS256, good, s.apiKey)},
			{name: "signature of HS512", token: signedWith(sha512.New, headerHS256, good, s.secretKey)},
		}),
	)
}

func tooLong(c credential) []refusal {
	return []refusal{
		{name: "a good token over 3 KiB", token: c.jwt(c.good().with("pad", strings.Repeat("x", 3000)))},
		{name: "3 KiB and one byte of letters", token: strings.Repeat("a", 3<<10+1)},
		{name: "thousands of dots", token: strings.Repeat(".", 8000)},
	}
}

// malformedText are tokens that are not three segments of canonical base64url.
func malformedText(c credential) []refusal {
	good := c.token()
	part := strings.Split(good, ".")
	h, p, sig := part[0], part[1], part[2]
	payload := c.good().json()
	payload += strings.Repeat(" ", 3-len(payload)%3) + " " // one byte over a multiple of three: four unused bits
	spare := segment(c.header) + "." + nonCanonical(segment(payload))
	spare += "." + segment(c.signature(spare))
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
		{name: "unused bits of the signature", token: nonCanonical(good)},
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

// malformedClaims are well signed, but their JSON is not strict or a claim has the wrong type or range.
func malformedClaims(c credential) []refusal {
	good := c.good()
	text := strings.TrimSuffix(good.json(), "}")
	rows := []refusal{}
	header := strings.TrimSuffix(c.header, "}")
	for _, header := range []string{
		`[]`, `null`, `"HS256"`, header, header + `} {}`, header + `,` + header[1:] + `}`, header + `,"x":` + deep(500) + `}`,
		header + ",\"x\":\"\xff\"}",
	} {
		rows = append(rows, refusal{name: "header " + header, token: c.sign(header, good.json())})
	}
	for _, payload := range []string{
		`[]`, `null`, `1`, `"x"`, `{`, text, text + `}x`, text + `}{}`, text + `,}`,
		text + `,"exp":9999999999}`, text + `,"apiKey":"x"}`, text + `,"other":1,"other":2}`,
		text + `,"x":` + deep(500) + `}`,
		text + `,"x":` + strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat("}", 200) + `}`,
		text + ",\"x\":\"\xff\"}", text + ",\"x\":\"\x01\"}", text + `,"x":01}`, text + `,"x":NaN}`, text + `,'x':1}`,
		"\xef\xbb\xbf" + text + "}",
	} {
		rows = append(rows, refusal{name: "payload " + payload, token: c.sign(c.header, payload)})
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		rest := strings.TrimSuffix(good.without(name).json(), "}")
		for _, value := range []string{
			`"` + strconv.FormatInt(time.Now().Unix()+300, 10) + `"`, `""`, `true`, `[1]`, `{}`,
			`-1`, `253402300800`, `1e300`, `1e400`, `99999999999999999999999999`,
		} {
			payload := rest + `,"` + name + `":` + value + `}`
			rows = append(rows, refusal{name: name + " " + value, token: c.sign(c.header, payload)})
		}
	}
	for _, name := range []string{"iss", "sub", "jti", "scope"} {
		for _, value := range []any{1, true, []string{"accounts:read"}, map[string]any{}} {
			rows = append(rows, refusal{name: name + " not a string", token: c.jwt(good.with(name, value))})
		}
	}
	for _, value := range []any{1, true, []any{1}, []any{c.audience, 1}, []any{[]string{c.audience}}, map[string]any{"a": c.audience}} {
		rows = append(rows, refusal{name: "aud neither string nor list of strings", token: c.jwt(good.with("aud", value))})
	}
	return rows
}

// wrongHeader are tokens whose header does not say what this key's header says.
func wrongHeader(c credential) []refusal {
	good := c.good().json()
	rows := []refusal{}
	members := strings.TrimSuffix(c.header, "}")
	for _, member := range []string{`"crit":["exp"]`, `"crit":[]`, `"crit":null`, `"b64":true`, `"b64":false,"crit":["b64"]`} {
		rows = append(rows, refusal{name: "header with " + member, token: c.sign(members+","+member+"}", good)})
	}
	alg := algorithm.FindString(c.header)
	for _, other := range []string{
		`"x":1`, `"alg":""`, `"alg":"none"`, `"alg":"None"`, `"alg":"NONE"`, `"alg":"hs256"`, `"alg":"eddsa"`, `"alg":"HS1"`,
		`"alg":"RS256"`, `"alg":"ES256"`, `"alg":"PS512"`, `"alg":"HS384"`, `"alg":"HS512"`, `"alg":"Ed25519"`, `"alg":"Ed448"`,
		strings.ToUpper(alg),
	} {
		rows = append(rows, refusal{name: "header with " + other, token: c.sign(strings.Replace(c.header, alg, other, 1), good)})
	}
	return rows
}

func wrongSignature(c credential) []refusal {
	part := strings.Split(c.token(), ".")
	input := part[0] + "." + part[1]
	return []refusal{
		{name: "tampered payload", token: part[0] + "." + segment(c.good().with("sub", "admin").json()) + "." + part[2]},
		{name: "tampered header", token: segment(strings.Replace(c.header, `,"typ":"JWT"`, "", 1)) + "." + part[1] + "." + part[2]},
		{name: "of another text", token: c.forged(c.good())},
		{name: "half a signature", token: input + "." + segment(strings.Repeat("x", 16))},
		{name: "one byte", token: input + "." + segment("x")},
		{name: "twice the signature", token: input + "." + segment(c.signature(input)+c.signature(input))},
		{name: "zeros", token: input + "." + segment(strings.Repeat("\x00", len(c.signature(input))))},
	}
}

func expired(c credential) []refusal {
	good, now := c.good(), time.Now().Unix()
	return []refusal{
		{name: "a minute ago", token: c.jwt(good.with("iat", now-360).with("exp", now-60))},
		{name: "in 1970", token: c.jwt(good.with("iat", 0).with("exp", 1))},
		{name: "at zero", token: c.jwt(good.with("exp", 0))},
		{name: "EXP is another claim", token: c.jwt(good.with("iat", now-360).with("exp", now-60).with("EXP", now+300))},
	}
}

func notYetValid(c credential) []refusal {
	good, now := c.good(), time.Now().Unix()
	return []refusal{
		{name: "nbf in two minutes", token: c.jwt(good.with("nbf", now+120))},
		{name: "iat in two minutes", token: c.jwt(good.with("iat", now+120).with("exp", now+300))},
		{name: "nbf in the year 9999", token: c.jwt(good.with("nbf", int64(253402300799)))},
	}
}

func claimMissing(c credential) []refusal {
	good := c.good()
	return []refusal{
		{name: "exp", token: c.jwt(good.without("exp"))},
		{name: "exp, but EXP", token: c.jwt(good.without("exp").with("EXP", good["exp"]))},
		{name: "aud", token: c.jwt(good.without("aud"))},
		{name: "iat and nbf", token: c.jwt(good.without("iat"))},
		{name: "everything but the key", token: c.jwt(claims{"apiKey": c.apiKey})},
		{name: "everything", token: c.jwt(claims{})},
	}
}

func wrongAudience(c credential) []refusal {
	rows := []refusal{}
	for _, aud := range []any{
		"",
		[]string{},
		"other",
		[]string{"other"},
		[]string{""},
		c.audience + " ", c.audience + "x", c.audience[1:],
		otherCase(c.audience),
		[]string{"a", "b"},
	} {
		rows = append(rows, refusal{name: "aud", token: c.jwt(c.good().with("aud", aud))})
	}
	return rows
}

func lifetimeTooLong(c credential) []refusal {
	good, now := c.good(), time.Now().Unix()
	return []refusal{
		{name: "two hours", token: c.jwt(good.with("exp", now+7200))},
		{name: "two hours, nearly over", token: c.jwt(good.with("iat", now-7140).with("exp", now+60))},
		{name: "two hours from nbf", token: c.jwt(good.without("iat").with("nbf", now).with("exp", now+7200))},
		{name: "to the year 9999", token: c.jwt(good.with("exp", int64(253402300799)))},
	}
}

func missingKey(c credential) []refusal {
	rows := []refusal{{name: "absent", token: c.jwt(c.good().without("apiKey"))}}
	for _, value := range []any{nil, "", false, 0, []any{}, map[string]any{}} {
		rows = append(rows, refusal{name: "empty", token: c.jwt(c.good().with("apiKey", value))})
	}
	return append(rows, refusal{name: "apikey is another claim", token: c.jwt(c.good().without("apiKey").with("apikey", c.apiKey))})
}

func incorrectKey(c credential) []refusal {
	rows := []refusal{}
	for _, value := range []any{
		"wrong", c.apiKey + "x", c.apiKey[:len(c.apiKey)-1], otherCase(c.apiKey), " " + c.apiKey, "null", "0",
		true, 1, -1, 0.5,
		[]string{c.apiKey},
		map[string]any{"apiKey": c.apiKey},
		[]any{nil},
	} {
		rows = append(rows, refusal{name: "another value", token: c.jwt(c.good().with("apiKey", value))})
	}
	return rows
}

// otherCase is text in small letters, or in capitals where it has small ones.
func otherCase(text string) string {
	if small := strings.ToLower(text); small != text {
		return small
	}
	return strings.ToUpper(text)
}
