// Package token reads, checks and mints JSON Web Tokens (RFC 7519): the compact form, strict claims, and the policy that
// the claims must meet. It knows no HTTP and no store.
package token

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/internal/strictjson"
)

// MaxLength is the length of the longest token that is read, in bytes. Tokens from Mint are shorter than 400.
const MaxLength = 3 << 10

// CheckCompact checks the form of a signed token (RFC 7515, section 3.1) before anything else reads it:
//
//   - at most MaxLength bytes;
//   - three segments, none empty, in canonical base64url;
//   - the first segment is a strict JSON object;
//   - the second segment begins like an object.
//
// It counts the dots before it splits: a hostile token has thousands. base64.RawURLEncoding alone is too lax: it skips
// line breaks and ignores unused bits, so one token would have many spellings and many digests.
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

// canonical reports whether segment is base64url without padding (RFC 7515, section 2), is not empty, and has zeros as
// its unused last bits. So no other segment means the same bytes.
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

// base64urlValue returns the six bits that c stands for (RFC 4648, section 5).
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

// beginsObject reports whether the decoded segment begins with a brace, after white space. Claims.UnmarshalJSON would
// refuse other payloads, but it never sees null: encoding/json reads that itself and leaves the claims empty.
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

// maxDepth is how deep a segment may nest. A real token needs two or three levels.
const maxDepth = 32

// errNotStrict is the only reason that Inspect shows.
var errNotStrict = errors.New("not a strict JSON object")

// readObject reads a decoded segment.
func readObject(segment []byte) ([]strictjson.Member, error) {
	members, err := strictjson.Object(segment, maxDepth)
	if err != nil {
		return nil, errNotStrict
	}
	return members, nil
}
