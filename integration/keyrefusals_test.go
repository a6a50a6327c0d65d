package integration

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// wrongKid are tokens that name a key which there is not, signed by one that there is.
func wrongKid(c credential) []refusal {
	good := c.good().json()
	kids := []string{
		`""`, `" "`, `"shared"`, `"x"`, `"E"`, `"' OR 1=1 --"`, `"'; DROP TABLE keys; --"`, `"%"`, `"E__________"`, `"../../dev/null"`,
		`"` + strings.Repeat("k", 1000) + `"`, `"E` + strings.Repeat("a", 999) + `"`, `"\u0000"`, `"\ud83d\udd11"`,
		`null`, `1`, `0`, `true`, `false`, `[]`, `["a"]`, `{}`,
		`"Eaaaaaaaaaaa"`, `"Haaaaaaaaaaa"`, `"` + unknownID("E") + `"`, `"` + unknownID("H") + `"`, `"X` + unknownID("") + `"`,
	}
	if kid := c.kid(); kid != "" {
		kids = append(kids, `"`+kid+`x"`, `"`+kid[:11]+`"`, `" `+kid+`"`, `"`+kid+`\u0000"`, `["`+kid+`"]`, `"`+swapCase(kid)+`"`)
	}
	rows := []refusal{}
	for _, kid := range kids {
		rows = append(rows, refusal{name: "kid " + kid, token: c.sign(c.headerWith(kid), good)})
	}
	return rows
}

// registeredRefusals are the rows that only registered keys have. Each is of a token that key, or somebody who knows what
// is public of it, could make.
func registeredRefusals(t *testing.T, tg *target, key clientKey) []refusal {
	t.Helper()
	good := key.good()
	rows := slices.Concat(
		all("Incorrect API token", []refusal{
			{name: "apiKey of the shared key", token: key.jwt(good.with("apiKey", tg.secrets.apiKey))},
			{name: "apiKey shared", token: key.jwt(good.with("apiKey", "shared"))},
			{name: "apiKey is the key string", token: key.jwt(good.with("apiKey", key.text))},
			{name: "apiKey of an administrator", token: key.jwt(good.with("apiKey", tg.admin.id))},
			{name: "the shared key claims a registered one", token: tg.secrets.jwt(tg.secrets.good().with("apiKey", key.id))},
		}),
		all(decodingError+"key or algorithm not acceptable", []refusal{
			{name: "kid is the key string", token: key.sign(key.headerWith(`"`+key.text+`"`), good.json())},
			{name: "unsecured", token: segment(`{"alg":"none","kid":"`+key.id+`"}`) + "." + segment(good.json()) + "." + segment("x")},
		}),
	)
	if key.kind == kindHS256 {
		return append(rows, hs256Refusals(t, tg, key)...)
	}
	return append(rows, ed25519Refusals(t, tg, key)...)
}

// ed25519Refusals: what is public of an Ed25519 key signs nothing, and its kid stands for no other algorithm.
func ed25519Refusals(t *testing.T, tg *target, key clientKey) []refusal {
	t.Helper()
	good := key.good().json()
	confused := `{"alg":"HS256","kid":"` + key.id + `","typ":"JWT"}`
	public := string(key.public())
	rows := []refusal{}
	for name, secret := range map[string]string{
		"the public key": public, "the public key as PEM": publicPEM(t, key.public()), "the public key in hexadecimal": hex.EncodeToString([]byte(public)),
		"the public key in base64url": segment(public), "the key string": key.text, "the seed": string(key.seed), "nothing": "",
		"the shared secret": tg.secrets.secretKey,
	} {
		rows = append(rows, refusal{name: "HS256 under " + name, token: signed(confused, good, secret)})
	}
	rows = append(rows, refusal{name: "EdDSA without kid", token: key.sign(`{"alg":"EdDSA","typ":"JWT"}`, good)},
		refusal{name: "KID is another member", token: key.sign(`{"alg":"EdDSA","KID":"`+key.id+`"}`, good)})
	all(decodingError+"key or algorithm not acceptable", rows)

	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	input := segment(key.header) + "." + segment(good)
	return append(rows, all(decodingError+"signature verification failed", []refusal{
		{name: "another Ed25519 key", token: input + "." + segment(string(ed25519.Sign(stranger, []byte(input))))},
		{name: "an administrator's key", token: input + "." + segment(tg.admin.signature(input))},
		{name: "HMAC under the public key", token: input + "." + segment(mac(sha256.New, input, public))},
		{name: "the same signature, written otherwise", token: input + "." + segment(malleated(key.signature(input)))},
	})...)
}

// malleated is an Ed25519 signature with the order of the group added to its second half: a lax verifier takes both.
func malleated(signature string) string {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	half := []byte(signature[32:])
	slices.Reverse(half) // it is little-endian
	sum := new(big.Int).Add(new(big.Int).SetBytes(half), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return signature[:32] + string(sum)
}

// hs256Refusals: of an HS256 key's string, only the whole is its secret.
func hs256Refusals(t *testing.T, tg *target, key clientKey) []refusal {
	t.Helper()
	good := key.good().json()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	input := segment(`{"alg":"EdDSA","kid":"`+key.id+`"}`) + "." + segment(good)
	rows := all(decodingError+"key or algorithm not acceptable", []refusal{
		{name: "EdDSA", token: input + "." + segment(string(ed25519.Sign(private, []byte(input))))},
	})
	secrets := map[string]string{
		"its secret part": key.text[21:64], "all but the checksum": key.text[:64], "its id": key.id, "nothing": "",
		"the shared secret": tg.secrets.secretKey, "an Ed25519 key's string": tg.admin.text,
	}
	wrong := []refusal{
		{name: "HS256 without kid", token: key.sign(headerHS256, good)},
		{name: "KID is another member", token: key.sign(`{"alg":"HS256","KID":"`+key.id+`"}`, good)},
	}
	for name, secret := range secrets {
		wrong = append(wrong, refusal{name: "HS256 under " + name, token: signed(key.header, good, secret)})
	}
	return append(rows, all(decodingError+"signature verification failed", wrong)...)
}

// retiredRefusals: that a key is not in force any more is told behind a good signature only, and after everything else.
func retiredRefusals(retired map[string]clientKey) []refusal {
	rows, now := []refusal{}, time.Now().Unix()
	for state, key := range retired {
		good := key.good()
		rows = append(rows,
			refusal{state, key.token(), "Incorrect API token"},
			refusal{state + ", narrowed", key.scoped(""), "Incorrect API token"},
			refusal{state + ", forged", key.forged(good), decodingError + "signature verification failed"},
			refusal{state + ", expired", key.jwt(good.with("iat", now-360).with("exp", now-60)), decodingError + "signature has expired"},
			refusal{state + ", no key", key.jwt(good.without("apiKey")), "Missing API token"},
		)
	}
	return rows
}

// checkOtherKeys: a key signs for itself alone, also when both keys are registered, of one kind, and of one client.
func checkOtherKeys(t *testing.T, tg *target) {
	tg.needsAdmin(t)
	const signature, unacceptable = "signature verification failed", "key or algorithm not acceptable"
	issued := map[string][2]clientKey{}
	for _, kind := range tg.kinds() {
		a, _ := tg.issue(t, request{"kind": kind})
		b, _ := tg.issue(t, request{"kind": kind})
		issued[kind] = [2]clientKey{a, b}
		tg.expects(t, a.sign(b.header, b.good().json()), signature)
		tg.expects(t, a.sign(b.header, a.good().json()), signature)
		tg.passes(t, a)
		if a := tg.do(t, call{path: "/service/whoami", token: a.jwt(b.good())}); a.status != http.StatusUnauthorized {
			t.Errorf("a token with the apiKey of another: %d %s", a.status, a.body)
		}
	}
	if len(issued) < 2 {
		return
	}
	e, h := issued[kindEd25519][0], issued[kindHS256][0]
	tg.expects(t, e.sign(e.headerWith(`"`+h.id+`"`), h.good().json()), unacceptable)
	tg.expects(t, e.sign(h.header, h.good().json()), signature)
	tg.expects(t, h.sign(h.headerWith(`"`+e.id+`"`), e.good().json()), unacceptable)
	tg.expects(t, h.sign(e.header, e.good().json()), signature)
	// The shared secret proves nothing about a registered key.
	tg.expects(t, signed(h.header, h.good().json(), tg.secrets.secretKey), signature)
	tg.expects(t, signed(e.headerWith(`"`+h.id+`"`), h.good().json(), tg.secrets.secretKey), unacceptable)
	tg.expects(t, signed(h.headerWith(`"`+e.id+`"`), e.good().json(), tg.secrets.secretKey), unacceptable)
}
