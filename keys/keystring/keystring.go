// Package keystring has the printed form of a key: its format, its checksum, its kinds, and how to find one in a text. A client
// needs nothing else to use a key.
//
// A key string is lk_<env>_<id>_<secret><crc>, 70 characters:
//
//	env     live or test: where the key is accepted
//	id      12 characters: E (Ed25519) or H (HS256), then 11 random base62 digits
//	secret  43 base62 digits: 32 random bytes
//	crc     6 base62 digits: CRC-32 (IEEE) of every byte before it
//
// Base62 has the digits 0-9A-Za-z in this order, the most significant first, padded with 0 on the left.
package keystring

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
)

// Length is the length of every key string.
const Length = 70

// The lengths of the parts.
const (
	idLength     = 12
	secretLength = 43
	crcLength    = 6
	secretBytes  = 32
)

// Environment says where a key is accepted.
type Environment string

// The environments.
const (
	Live Environment = "live" // in production
	Test Environment = "test" // in development
)

// Kind is the kind of the secret half.
type Kind string

// The kinds.
const (
	// Ed25519 keys sign with EdDSA (RFC 8037); the secret half is the seed, and the service knows only the public key.
	Ed25519 Kind = "ed25519"
	// HS256 keys sign with HMAC-SHA-256 (RFC 7518, section 3.2); the HMAC key is the ASCII of the whole key string.
	HS256 Kind = "hs256"
)

// Kinds lists them all.
func Kinds() []Kind { return []Kind{Ed25519, HS256} }

// IsID reports whether text has the form of an id: a capital letter for the kind, then 11 base62 digits. The kind may be
// unknown here: a newer version of the program may have made such a key in the same store.
func IsID(text string) bool {
	return len(text) == idLength && base62(text) && text[0] >= 'A' && text[0] <= 'Z'
}

// KindOf is the kind of an id. It is false for a malformed id and for an unknown kind.
func KindOf(id string) (Kind, bool) {
	if !IsID(id) {
		return "", false
	}
	switch id[0] {
	case 'E':
		return Ed25519, true
	case 'H':
		return HS256, true
	default:
		return "", false
	}
}

// Key is a key with both halves. Printed, it shows only its hint; Reveal gives all of it.
type Key struct {
	// secret is a pointer, because packages that print unexported fields do not call String.
	secret *string
}

func keyOf(text string) Key { return Key{&text} }

// New generates a key.
func New(env Environment, kind Kind) (Key, error) {
	letter := map[Kind]string{Ed25519: "E", HS256: "H"}[kind]
	if letter == "" || env != Live && env != Test {
		return Key{}, fmt.Errorf("no keys of kind %q in environment %q", kind, env)
	}
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails: it ends the process instead
	return compose(env, letter+randomDigits(idLength-1), random), nil
}

func compose(env Environment, id string, secret []byte) Key {
	text := "lk_" + string(env) + "_" + id + "_" + digits(new(big.Int).SetBytes(secret), secretLength)
	return keyOf(text + checksum(text))
}

// The errors of Parse. They do not repeat the text.
var (
	ErrForm     = errors.New("this is no key: a key has 70 characters and begins with lk_live_ or lk_test_")
	ErrChecksum = errors.New("this key has a typing error: its checksum does not fit")
)

// Parse reads a key string. Its errors are ErrForm and ErrChecksum.
func Parse(text string) (Key, error) {
	parts := strings.Split(text, "_")
	if len(text) != Length || len(parts) != 4 || parts[0] != "lk" ||
		parts[1] != string(Live) && parts[1] != string(Test) ||
		len(parts[3]) != secretLength+crcLength || !base62(parts[3]) {
		return Key{}, ErrForm
	}
	if _, ok := KindOf(parts[2]); !ok {
		return Key{}, ErrForm
	}
	body := text[:Length-crcLength]
	if checksum(body) != text[Length-crcLength:] {
		return Key{}, ErrChecksum
	}
	if number(parts[3][:secretLength]).BitLen() > 8*secretBytes {
		return Key{}, ErrForm
	}
	return keyOf(strings.Clone(text)), nil
}

// Reveal is the key string, "" for no key.
func (k Key) Reveal() string {
	if k.secret == nil {
		return ""
	}
	return *k.secret
}

// Environment says where the key is accepted.
func (k Key) Environment() Environment { return Environment(k.Reveal()[3:7]) }

// ID is the public half: the kid and the apiKey claim of the key's tokens.
func (k Key) ID() string { return k.Reveal()[8 : 8+idLength] }

// Kind says how the key signs.
func (k Key) Kind() Kind {
	kind, _ := KindOf(k.ID())
	return kind
}

// Hint identifies a key without showing its secret: its id and its last four characters.
func (k Key) Hint() string {
	if k.secret == nil {
		return ""
	}
	return k.ID() + "..." + k.Reveal()[Length-4:]
}

// PrivateKey is the signing key of an Ed25519 key; ok is false for other kinds.
func (k Key) PrivateKey() (_ ed25519.PrivateKey, ok bool) {
	if k.secret == nil || k.Kind() != Ed25519 {
		return nil, false
	}
	seed := number(k.Reveal()[Length-crcLength-secretLength : Length-crcLength]).FillBytes(make([]byte, secretBytes))
	return ed25519.NewKeyFromSeed(seed), true
}

// HMACKey is the signing key of an HS256 key; ok is false for other kinds.
func (k Key) HMACKey() (_ []byte, ok bool) {
	if k.secret == nil || k.Kind() != HS256 {
		return nil, false
	}
	return []byte(k.Reveal()), true
}

// PEM is the private key of an Ed25519 key as PKCS #8 (RFC 8410, section 7), which other JWT libraries read. Keys of
// other kinds have none: their HMAC key is the key string itself.
func (k Key) PEM() ([]byte, error) {
	private, ok := k.PrivateKey()
	if !ok {
		return nil, errors.New("only ed25519 keys have a PEM form; libraries take the string of an hs256 key as it is, as the HMAC secret")
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// String is the hint, so that a key that is printed by mistake stays secret.
func (k Key) String() string { return k.Hint() }

// GoString is the hint.
func (k Key) GoString() string { return k.Hint() }

// Format prints the hint, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, k.Hint()) }

// MarshalText is the hint, for encoders.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.Hint()), nil }

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// base62 reports whether every byte of s is a base62 digit.
func base62(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

// digits writes n with width base62 digits.
func digits(n *big.Int, width int) string {
	n = new(big.Int).Set(n)
	text := make([]byte, width)
	base, digit := big.NewInt(int64(len(alphabet))), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		text[i] = alphabet[digit.Int64()]
	}
	return string(text)
}

// number reads base62 digits.
func number(text string) *big.Int {
	n, base := new(big.Int), big.NewInt(int64(len(alphabet)))
	for i := range len(text) {
		n.Mul(n, base).Add(n, big.NewInt(int64(strings.IndexByte(alphabet, text[i]))))
	}
	return n
}

// randomDigits generates n digits, uniformly distributed.
func randomDigits(n int) string {
	most := new(big.Int).Exp(big.NewInt(int64(len(alphabet))), big.NewInt(int64(n)), nil)
	value, err := rand.Int(rand.Reader, most)
	if err != nil { // rand.Reader never fails: it ends the process instead
		panic(err)
	}
	return digits(value, n)
}

func checksum(text string) string {
	return digits(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(text)))), crcLength)
}
