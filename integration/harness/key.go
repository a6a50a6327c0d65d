package harness

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

// The kinds of registered keys, as the service names them.
const (
	KindEd25519 = "ed25519"
	KindHS256   = "hs256"
)

// KeyString is the published expression for secret scanners. Its groups: environment, id, secret, checksum.
var KeyString = regexp.MustCompile(`\blk_(live|test)_([EH][0-9A-Za-z]{11})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})\b`)

// Key is a registered key as its holder has it.
type Key struct {
	Credential
	Text string // the key string
	ID   string
	Kind string
	Env  string // live or test
	Seed []byte // of an Ed25519 key; nil for the other kind
}

// ParseKey reads a key string, and checks its form and checksum.
func ParseKey(t *testing.T, text, audience string) Key {
	t.Helper()
	part := KeyString.FindStringSubmatch(text)
	if part == nil || part[0] != text {
		t.Fatalf("not a key string: %q", text)
	}
	body, sum := text[:64], text[64:]
	if want := base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), 6); sum != want {
		t.Fatalf("the checksum of a key string is %q, want %q", sum, want)
	}
	key := Key{Text: text, Env: part[1], ID: part[2]}
	key.APIKey, key.Audience = key.ID, audience
	if key.ID[0] == 'H' {
		key.Kind, key.Header = KindHS256, `{"alg":"HS256","kid":"`+key.ID+`","typ":"JWT"}`
		key.Signature = func(input string) string { return MAC(sha256.New, input, text) }
		return key
	}
	secret, ok := new(big.Int).SetString(SwapCase(part[3]), 62)
	if !ok || secret.BitLen() > 256 {
		t.Fatal("the secret of a key string is not 32 bytes")
	}
	key.Kind, key.Header = KindEd25519, `{"alg":"EdDSA","kid":"`+key.ID+`","typ":"JWT"}`
	key.Seed = secret.FillBytes(make([]byte, ed25519.SeedSize))
	private := ed25519.NewKeyFromSeed(key.Seed)
	key.Signature = func(input string) string { return string(ed25519.Sign(private, []byte(input))) }
	return key
}

// Public is the public half of an Ed25519 key.
func (k Key) Public() ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(k.Seed).Public().(ed25519.PublicKey)
}

// base62 is n in the digits 0-9A-Za-z, padded to width.
func base62(n *big.Int, width int) string {
	digits := SwapCase(n.Text(62))
	return strings.Repeat("0", max(0, width-len(digits))) + digits
}

// SwapCase exchanges the base 62 digits of math/big (small letters first) and of key strings (capitals first).
func SwapCase(digits string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, digits)
}

// PublicPEM is a public key as PEM.
func PublicPEM(t *testing.T, key ed25519.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// UnknownKeyID is a random id that no key has.
func UnknownKeyID(kind string) string {
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(62), big.NewInt(11), nil))
	if err != nil {
		panic(err) // never happens, says crypto/rand
	}
	return kind + base62(n, 11)
}
