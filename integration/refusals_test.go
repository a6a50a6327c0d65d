package integration

import (
	"crypto/sha512"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// decodingError starts the text of a refusal of the token itself.
const decodingError = "Error decoding token: "

// refusal is one row: the Authorization lines of a request, and the 401 text they get.
type refusal struct {
	name   string
	token  string
	detail string
}

// checkRefusals: each guarded operation refuses each row, with Bearer and bare alike, with the exact text and header.
func checkRefusals(t *testing.T, tg *target) {
	for _, op := range tg.openapi(t).guarded() {
		t.Run(op.ID, func(t *testing.T) {
			checkHeaderRefusals(t, tg, op)
			for _, row := range refusals(tg.secrets) {
				for _, scheme := range []string{"Bearer ", ""} {
					c := op.mustRequest(t)
					c.auth = []string{scheme + row.token}
					a := tg.do(t, c)
					before := t.Failed()
					a.refused(t, http.StatusUnauthorized, row.detail,
						`Bearer realm="latchkey", error="invalid_token", error_description="`+row.detail+`"`)
					a.fitsDocumentation(t, op)
					notStored(t, a)
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
		notStored(t, a)
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
		notStored(t, a)
	}
}

// refusals are the rows of every check that a token must pass, in the order of the checks.
func refusals(s secrets) []refusal {
	rows := []refusal{}
	add := func(detail string, more []refusal) {
		for _, row := range more {
			row.detail = detail
			rows = append(rows, row)
		}
	}
	add(decodingError+"token too long", tooLong(s))
	add(decodingError+"malformed token", malformedText(s))
	add(decodingError+"malformed token", malformedClaims(s))
	add(decodingError+"key or algorithm not acceptable", wrongKey(s))
	add(decodingError+"signature verification failed", wrongSignature(s))
	add(decodingError+"signature has expired", expired(s))
	add(decodingError+"token is not yet valid", notYetValid(s))
	add(decodingError+"required claim missing", claimMissing(s))
	add(decodingError+"invalid audience", wrongAudience(s))
	add(decodingError+"token lifetime too long", lifetimeTooLong(s))
	add("Missing API token", missingKey(s))
	add("Incorrect API token", incorrectKey(s))
	return rows
}

func tooLong(s secrets) []refusal {
	return []refusal{
		{name: "a good token over 3 KiB", token: s.jwt(s.good().with("pad", strings.Repeat("x", 3000)))},
		{name: "3 KiB and one byte of letters", token: strings.Repeat("a", 3<<10+1)},
		{name: "thousands of dots", token: strings.Repeat(".", 8000)},
	}
}

// malformedText are tokens that are not three segments of canonical base64url.
func malformedText(s secrets) []refusal {
	good := s.token()
	part := strings.Split(good, ".")
	h, p, sig := part[0], part[1], part[2]
	payload := s.good().json()
	payload += strings.Repeat(" ", 3-len(payload)%3) + " " // one byte over a multiple of three: four unused bits
	spare := segment(headerHS256) + "." + nonCanonical(segment(payload)) + ".x"
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
		{name: "unused bits of the payload", token: resigned(spare, s.secretKey)},
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
func malformedClaims(s secrets) []refusal {
	good := s.good()
	text := strings.TrimSuffix(good.json(), "}")
	rows := []refusal{}
	for _, header := range []string{
		`[]`, `null`, `"HS256"`, `{"alg":"HS256"`, `{"alg":"HS256"} {}`, `{"alg":"HS256","alg":"HS256"}`,
		`{"alg":"HS256","x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, "{\"alg\":\"HS256\",\"x\":\"\xff\"}",
	} {
		rows = append(rows, refusal{name: "header " + header, token: signed(header, good.json(), s.secretKey)})
	}
	for _, payload := range []string{
		`[]`, `null`, `1`, `"x"`, `{`, text, text + `}x`, text + `}{}`, text + `,}`,
		text + `,"exp":9999999999}`, text + `,"apiKey":"x"}`, text + `,"other":1,"other":2}`,
		text + `,"x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`,
		text + `,"x":` + strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat("}", 200) + `}`,
		text + ",\"x\":\"\xff\"}", text + ",\"x\":\"\x01\"}", text + `,"x":01}`, text + `,"x":NaN}`, text + `,'x':1}`,
		"\xef\xbb\xbf" + text + "}",
	} {
		rows = append(rows, refusal{name: "payload " + payload, token: signed(headerHS256, payload, s.secretKey)})
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		rest := strings.TrimSuffix(good.without(name).json(), "}")
		for _, value := range []string{
			`"` + strconv.FormatInt(time.Now().Unix()+300, 10) + `"`, `""`, `true`, `[1]`, `{}`,
			`-1`, `253402300800`, `1e300`, `1e400`, `99999999999999999999999999`,
		} {
			payload := rest + `,"` + name + `":` + value + `}`
			rows = append(rows, refusal{name: name + " " + value, token: signed(headerHS256, payload, s.secretKey)})
		}
	}
	for _, name := range []string{"iss", "sub", "jti", "scope"} {
		for _, value := range []any{1, true, []string{"accounts:read"}, map[string]any{}} {
			rows = append(rows, refusal{name: name + " not a string", token: s.jwt(good.with(name, value))})
		}
	}
	for _, value := range []any{1, true, []any{1}, []any{s.audience, 1}, []any{[]string{s.audience}}, map[string]any{"a": s.audience}} {
		rows = append(rows, refusal{name: "aud neither string nor list of strings", token: s.jwt(good.with("aud", value))})
	}
	return rows
}

func wrongKey(s secrets) []refusal {
	good := s.good().json()
	rows := []refusal{
		{name: "HS384", token: signedWith(sha512.New384, `{"alg":"HS384","typ":"JWT"}`, good, s.secretKey)},
		{name: "HS512", token: signedWith(sha512.New, `{"alg":"HS512","typ":"JWT"}`, good, s.secretKey)},
	}
	for _, header := range []string{
		`{"typ":"JWT"}`, `{}`, `{"alg":""}`, `{"alg":"none"}`, `{"alg":"None"}`, `{"alg":"NONE"}`, `{"alg":"hs256"}`,
		`{"alg":"HS1"}`, `{"alg":"RS256"}`, `{"alg":"ES256"}`, `{"alg":"EdDSA"}`, `{"ALG":"HS256"}`,
		`{"alg":"HS256","kid":"shared"}`, `{"alg":"HS256","kid":""}`, `{"alg":"HS256","kid":"Eaaaaaaaaaaa"}`,
		`{"alg":"HS256","kid":"../../dev/null"}`, `{"alg":"HS256","kid":"' OR 1=1 --"}`, `{"alg":"HS256","kid":1}`,
		`{"alg":"HS256","kid":["a"]}`, `{"alg":"EdDSA","kid":"Eaaaaaaaaaaa"}`,
		`{"alg":"HS256","crit":["exp"]}`, `{"alg":"HS256","crit":[]}`, `{"alg":"HS256","b64":true}`,
		`{"alg":"HS256","b64":false,"crit":["b64"]}`,
	} {
		rows = append(rows, refusal{name: "header " + header, token: signed(header, good, s.secretKey)})
	}
	return rows
}

func wrongSignature(s secrets) []refusal {
	good := s.token()
	part := strings.Split(good, ".")
	tampered := part[0] + "." + segment(s.good().with("sub", "admin").json()) + "." + part[2]
	return []refusal{
		{name: "tampered payload", token: tampered},
		{name: "tampered header", token: segment(`{"alg":"HS256"}`) + "." + part[1] + "." + part[2]},
		{name: "another secret", token: signed(headerHS256, s.good().json(), "not"+s.secretKey)},
		{name: "empty secret", token: signed(headerHS256, s.good().json(), "")},
		{name: "the API key as the secret", token: signed(headerHS256, s.good().json(), s.apiKey)},
		{name: "half a signature", token: part[0] + "." + part[1] + "." + segment(strings.Repeat("x", 16))},
		{name: "one byte", token: part[0] + "." + part[1] + "." + segment("x")},
		{name: "signature of HS512", token: signedWith(sha512.New, headerHS256, s.good().json(), s.secretKey)},
	}
}

func expired(s secrets) []refusal {
	good, now := s.good(), time.Now().Unix()
	return []refusal{
		{name: "a minute ago", token: s.jwt(good.with("iat", now-360).with("exp", now-60))},
		{name: "in 1970", token: s.jwt(good.with("iat", 0).with("exp", 1))},
		{name: "at zero", token: s.jwt(good.with("exp", 0))},
		{name: "EXP is another claim", token: s.jwt(good.with("iat", now-360).with("exp", now-60).with("EXP", now+300))},
	}
}

func notYetValid(s secrets) []refusal {
	good, now := s.good(), time.Now().Unix()
	return []refusal{
		{name: "nbf in two minutes", token: s.jwt(good.with("nbf", now+120))},
		{name: "iat in two minutes", token: s.jwt(good.with("iat", now+120).with("exp", now+300))},
		{name: "nbf in the year 9999", token: s.jwt(good.with("nbf", int64(253402300799)))},
	}
}

func claimMissing(s secrets) []refusal {
	good := s.good()
	return []refusal{
		{name: "exp", token: s.jwt(good.without("exp"))},
		{name: "exp, but EXP", token: s.jwt(good.without("exp").with("EXP", good["exp"]))},
		{name: "aud", token: s.jwt(good.without("aud"))},
		{name: "iat and nbf", token: s.jwt(good.without("iat"))},
		{name: "everything but the key", token: s.jwt(claims{"apiKey": s.apiKey})},
		{name: "everything", token: s.jwt(claims{})},
	}
}

func wrongAudience(s secrets) []refusal {
	rows := []refusal{}
	for _, aud := range []any{
		"",
		[]string{},
		"other",
		[]string{"other"},
		[]string{""},
		s.audience + " ", s.audience + "x", s.audience[1:],
		otherCase(s.audience),
		[]string{"a", "b"},
	} {
		rows = append(rows, refusal{name: "aud", token: s.jwt(s.good().with("aud", aud))})
	}
	return rows
}

func lifetimeTooLong(s secrets) []refusal {
	good, now := s.good(), time.Now().Unix()
	return []refusal{
		{name: "two hours", token: s.jwt(good.with("exp", now+7200))},
		{name: "two hours, nearly over", token: s.jwt(good.with("iat", now-7140).with("exp", now+60))},
		{name: "two hours from nbf", token: s.jwt(good.without("iat").with("nbf", now).with("exp", now+7200))},
		{name: "to the year 9999", token: s.jwt(good.with("exp", int64(253402300799)))},
	}
}

func missingKey(s secrets) []refusal {
	rows := []refusal{{name: "absent", token: s.jwt(s.good().without("apiKey"))}}
	for _, value := range []any{nil, "", false, 0, []any{}, map[string]any{}} {
		rows = append(rows, refusal{name: "empty", token: s.jwt(s.good().with("apiKey", value))})
	}
	return append(rows, refusal{name: "apikey is another claim", token: s.jwt(s.good().without("apiKey").with("apikey", s.apiKey))})
}

func incorrectKey(s secrets) []refusal {
	rows := []refusal{}
	for _, value := range []any{
		"wrong", s.apiKey + "x", s.apiKey[:len(s.apiKey)-1], otherCase(s.apiKey), " " + s.apiKey, "null", "0",
		true, 1, -1, 0.5,
		[]string{s.apiKey},
		map[string]any{"apiKey": s.apiKey},
		[]any{nil},
	} {
		rows = append(rows, refusal{name: "another value", token: s.jwt(s.good().with("apiKey", value))})
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
