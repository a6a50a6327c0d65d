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

	"github.com/latchkey-api/latchkey/integration/harness"
)

// wrongKid are tokens that name an unknown key, signed by a known one.
func wrongKid(c harness.Credential) []refusal {
	good := c.Good().JSON()
	kids := []string{
		`""`, `" "`, `"shared"`, `"x"`, `"E"`, `"' OR 1=1 --"`, `"'; DROP TABLE keys; --"`, `"%"`, `"E__________"`, `"../../dev/null"`,
		`"` + strings.Repeat("k", 1000) + `"`, `"E` + strings.Repeat("a", 999) + `"`, `"\u0000"`, `"\ud83d\udd11"`,
		`null`, `1`, `0`, `true`, `false`, `[]`, `["a"]`, `{}`,
		`"Eaaaaaaaaaaa"`, `"Haaaaaaaaaaa"`, `"` + harness.UnknownKeyID("E") + `"`, `"` + harness.UnknownKeyID("H") + `"`, `"X` + harness.UnknownKeyID("") + `"`,
	}
	if kid := c.KeyID(); kid != "" {
		kids = append(kids, `"`+kid+`x"`, `"`+kid[:11]+`"`, `" `+kid+`"`, `"`+kid+`\u0000"`, `["`+kid+`"]`, `"`+harness.SwapCase(kid)+`"`)
	}
	rows := []refusal{}
	for _, kid := range kids {
		rows = append(rows, refusal{name: "kid " + kid, token: c.Sign(c.HeaderWithKeyID(kid), good)})
	}
	return rows
}

// registeredRefusals are the rows of registered keys alone: tokens that the holder of key could mint, or anybody who knows its
// public half.
func registeredRefusals(t *testing.T, tg *harness.Target, key harness.Key) []refusal {
	t.Helper()
	good := key.Good()
	rows := slices.Concat(
		all("Incorrect API token", []refusal{
			{name: "apiKey of the shared key", token: key.JWT(good.With("apiKey", tg.Secrets.APIKey))},
			{name: "apiKey shared", token: key.JWT(good.With("apiKey", "shared"))},
			{name: "apiKey is the key string", token: key.JWT(good.With("apiKey", key.Text))},
			{name: "apiKey of an administrator", token: key.JWT(good.With("apiKey", tg.Admin.ID))},
			{name: "the shared key claims a registered one", token: tg.Secrets.JWT(tg.Secrets.Good().With("apiKey", key.ID))},
		}),
		all(harness.DecodingError+"key or algorithm not acceptable", []refusal{
			{name: "kid is the key string", token: key.Sign(key.HeaderWithKeyID(`"`+key.Text+`"`), good.JSON())},
			{name: "unsecured", token: harness.Segment(`{"alg":"none","kid":"`+key.ID+`"}`) + "." + harness.Segment(good.JSON()) + "." + harness.Segment("x")},
		}),
	)
	if key.Kind == harness.KindHS256 {
		return append(rows, hs256Refusals(t, tg, key)...)
	}
	return append(rows, ed25519Refusals(t, tg, key)...)
}

// ed25519Refusals: the public half of an Ed25519 key signs nothing, and its kid works with no other algorithm.
func ed25519Refusals(t *testing.T, tg *harness.Target, key harness.Key) []refusal {
	t.Helper()
	good := key.Good().JSON()
	confused := `{"alg":"HS256","kid":"` + key.ID + `","typ":"JWT"}`
	public := string(key.Public())
	rows := []refusal{}
	for name, secret := range map[string]string{
		"the public key": public, "the public key as PEM": harness.PublicPEM(t, key.Public()), "the public key in hexadecimal": hex.EncodeToString([]byte(public)),
		"the public key in base64url": harness.Segment(public), "the key string": key.Text, "the seed": string(key.Seed), "nothing": "",
		"the shared secret": tg.Secrets.SecretKey,
	} {
		rows = append(rows, refusal{name: "HS256 under " + name, token: harness.SignHS256(confused, good, secret)})
	}
	rows = append(rows, refusal{name: "EdDSA without kid", token: key.Sign(`{"alg":"EdDSA","typ":"JWT"}`, good)},
		refusal{name: "KID is another member", token: key.Sign(`{"alg":"EdDSA","KID":"`+key.ID+`"}`, good)})
	all(harness.DecodingError+"key or algorithm not acceptable", rows)

	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	input := harness.Segment(key.Header) + "." + harness.Segment(good)
	return append(rows, all(harness.DecodingError+"signature verification failed", []refusal{
		{name: "another Ed25519 key", token: input + "." + harness.Segment(string(ed25519.Sign(stranger, []byte(input))))},
		{name: "an administrator's key", token: input + "." + harness.Segment(tg.Admin.Signature(input))},
		{name: "HMAC under the public key", token: input + "." + harness.Segment(harness.MAC(sha256.New, input, public))},
		{name: "the same signature, written otherwise", token: input + "." + harness.Segment(malleated(key.Signature(input)))},
	})...)
}

// malleated adds the order of the group to the second half of an Ed25519 signature: a lax verifier accepts both.
func malleated(signature string) string {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	half := []byte(signature[32:])
	slices.Reverse(half) // it is little-endian
	sum := new(big.Int).Add(new(big.Int).SetBytes(half), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return signature[:32] + string(sum)
}

// hs256Refusals: the secret of an HS256 key is the whole key string, no part of it.
func hs256Refusals(t *testing.T, tg *harness.Target, key harness.Key) []refusal {
	t.Helper()
	good := key.Good().JSON()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	input := harness.Segment(`{"alg":"EdDSA","kid":"`+key.ID+`"}`) + "." + harness.Segment(good)
	rows := all(harness.DecodingError+"key or algorithm not acceptable", []refusal{
		{name: "EdDSA", token: input + "." + harness.Segment(string(ed25519.Sign(private, []byte(input))))},
	})
	secrets := map[string]string{
		"its secret part": key.Text[21:64], "all but the checksum": key.Text[:64], "its id": key.ID, "nothing": "",
		"the shared secret": tg.Secrets.SecretKey, "an Ed25519 key's string": tg.Admin.Text,
	}
	wrong := []refusal{
		{name: "HS256 without kid", token: key.Sign(harness.HeaderHS256, good)},
		{name: "KID is another member", token: key.Sign(`{"alg":"HS256","KID":"`+key.ID+`"}`, good)},
	}
	for name, secret := range secrets {
		wrong = append(wrong, refusal{name: "HS256 under " + name, token: harness.SignHS256(key.Header, good, secret)})
	}
	return append(rows, all(harness.DecodingError+"signature verification failed", wrong)...)
}

// retiredRefusals: that a key is no longer valid is said only after a valid signature, and after every other check.
func retiredRefusals(retired map[string]harness.Key) []refusal {
	rows, now := []refusal{}, time.Now().Unix()
	for state, key := range retired {
		good := key.Good()
		rows = append(rows,
			refusal{state, key.Token(), "Incorrect API token"},
			refusal{state + ", narrowed", key.Scoped(""), "Incorrect API token"},
			refusal{state + ", forged", key.Forged(good), harness.DecodingError + "signature verification failed"},
			refusal{state + ", expired", key.JWT(good.With("iat", now-360).With("exp", now-60)), harness.DecodingError + "signature has expired"},
			refusal{state + ", no key", key.JWT(good.Without("apiKey")), "Missing API token"},
		)
	}
	return rows
}

// checkOtherKeys: a key signs tokens of itself only, even if both keys are registered and of one kind.
func checkOtherKeys(t *testing.T, tg *harness.Target) {
	tg.NeedAdmin(t)
	const signature, unacceptable = "signature verification failed", "key or algorithm not acceptable"
	issued := map[string][2]harness.Key{}
	for _, kind := range tg.Kinds() {
		a, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		b, _ := tg.IssueKey(t, harness.Body{"kind": kind})
		issued[kind] = [2]harness.Key{a, b}
		tg.ExpectToken(t, a.Sign(b.Header, b.Good().JSON()), signature)
		tg.ExpectToken(t, a.Sign(b.Header, a.Good().JSON()), signature)
		tg.ExpectAccepted(t, a)
		if a := tg.Do(t, harness.Call{Path: "/service/whoami", Token: a.JWT(b.Good())}); a.Status != http.StatusUnauthorized {
			t.Errorf("a token with the apiKey of another: %d %s", a.Status, a.Body)
		}
	}
	if len(issued) < 2 {
		return
	}
	e, h := issued[harness.KindEd25519][0], issued[harness.KindHS256][0]
	tg.ExpectToken(t, e.Sign(e.HeaderWithKeyID(`"`+h.ID+`"`), h.Good().JSON()), unacceptable)
	tg.ExpectToken(t, e.Sign(h.Header, h.Good().JSON()), signature)
	tg.ExpectToken(t, h.Sign(h.HeaderWithKeyID(`"`+e.ID+`"`), e.Good().JSON()), unacceptable)
	tg.ExpectToken(t, h.Sign(e.Header, e.Good().JSON()), signature)
	// The shared secret proves nothing about a registered key.
	tg.ExpectToken(t, harness.SignHS256(h.Header, h.Good().JSON(), tg.Secrets.SecretKey), signature)
	tg.ExpectToken(t, harness.SignHS256(e.HeaderWithKeyID(`"`+h.ID+`"`), h.Good().JSON(), tg.Secrets.SecretKey), unacceptable)
	tg.ExpectToken(t, harness.SignHS256(h.HeaderWithKeyID(`"`+e.ID+`"`), e.Good().JSON(), tg.Secrets.SecretKey), unacceptable)
}
