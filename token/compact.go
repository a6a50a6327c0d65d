// Package token is the JSON Web Token (RFC 7519) as this service accepts and makes it: the compact form, strict claims,
// the policy they are held against, minting. It knows no HTTP and no store.
package token

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/internal/strictjson"
)

// MaxLength is the longest token that is looked at, in bytes. The service's own are below 400.
const MaxLength = 3 << 10

// CheckCompact says whether raw has the form of a signed token (RFC 7515, section 3.1): not over MaxLength, three
// non-empty segments of canonical base64url, of which the first is a strict JSON object and the second begins as one.
// It runs before anything else reads the token, so it counts the dots before it splits, and it does what the Go
// decoder does not: base64.RawURLEncoding skips line breaks and, unless told otherwise, takes many spellings for the
// same bytes, which would give one token many digests.
//
// The errors are fault.TokenTooLong and fault.TokenMalformed.
func CheckCompact(raw string) error {
	if len(raw) > MaxLength {
		return fault.New(fault.TokenTooLong)
	}
	if strings.Count(raw, ".") != 2 {
		return fault.New(fault.TokenMalformed)
	}
	header, rest, _ := strings.Cut(raw, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	if !canonical(header) || !canonical(payload) || !canonical(signature) || !beginsObject(payload) {
		return fault.New(fault.TokenMalformed)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return fault.Wrap(fault.TokenMalformed, err)
	}
	if _, err := readObject(decoded); err != nil {
		return fault.Wrap(fault.TokenMalformed, err)
	}
	return nil
}

// canonical says whether segment is a non-empty base64url text without padding (RFC 7515, section 2) whose unused last
// bits are zero: the one spelling of its bytes.
func canonical(segment string) bool {
	if segment == "" {
		return false
	}
	var last byte
	for i := range len(segment) {
		value, ok := base64urlValue(segment[i])
		if !ok {
			return false
		}
		last = value
	}
	switch len(segment) % 4 {
	case 0:
		return true
	case 2:
		return last&0x0f == 0
	case 3:
		return last&0x03 == 0
	default:
		return false
	}
}

// base64urlValue is the six bits that c stands for (RFC 4648, section 5).
func base64urlValue(c byte) (byte, bool) {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A', true
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26, true
	case c >= '0' && c <= '9':
		return c - '0' + 52, true
	case c == '-':
		return 62, true
	case c == '_':
		return 63, true
	default:
		return 0, false
	}
}

// beginsObject says whether the first byte of the decoded segment that is not white space opens an object. The parser
// hands every payload to Claims.UnmarshalJSON but one: encoding/json answers a null itself, with claims left empty.
func beginsObject(segment string) bool {
	var block [3]byte
	for len(segment) > 0 {
		n := min(4, len(segment))
		size, err := base64.RawURLEncoding.Decode(block[:], []byte(segment[:n]))
		if err != nil {
			return false
		}
		for _, c := range block[:size] {
			switch c {
			case ' ', '\t', '\n', '\r':
			default:
				return c == '{'
			}
		}
		segment = segment[n:]
	}
	return false
}

// maxDepth bounds how deep a segment may nest; a real token needs two or three levels.
const maxDepth = 32

// errNotStrict says no more than this, because Inspect shows it.
var errNotStrict = errors.New("not a strict JSON object")

// readObject reads a decoded segment.
func readObject(segment []byte) ([]strictjson.Member, error) {
	members, err := strictjson.Object(segment, maxDepth)
	if err != nil {
		return nil, errNotStrict
	}
	return members, nil
}
