package token

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/internal/strictjson"
)

// Inspection is the content of a token whose signature is not verified. It is for explaining to a caller what is wrong.
// Do not trust it, and decide nothing by it.
type Inspection struct {
	// Malformed says where the form is broken, "" if it is not. It quotes at most one character of the token.
	Malformed string
	// Claim names the claim that Malformed is about, "" if it is about something else.
	Claim string
	// Algorithm is the alg of the header, "" if it is absent or not a string.
	Algorithm string
	// NamesKey reports whether the header has a kid. KeyID is the kid, "" if it is not a string.
	NamesKey bool
	KeyID    string
	// Critical lists which of crit and b64 the header has.
	Critical []string
	// Claims is the payload, empty if it cannot be read.
	Claims Claims
}

// Inspect reads as much of a token as it can.
func Inspect(raw string) Inspection {
	var seen Inspection
	segments := strings.SplitN(raw, ".", 4)
	if len(segments) != 3 {
		seen.Malformed = fmt.Sprintf("a token has three parts with dots in between; this has %d", strings.Count(raw, ".")+1)
		return seen
	}
	header, err := decode("header", segments[0])
	seen.note(err)
	payload, err := decode("payload", segments[1])
	seen.note(err)
	_, err = decode("signature", segments[2])
	seen.note(err)

	if header != nil {
		members, err := readObject(header)
		if err != nil {
			seen.note(fmt.Errorf("the header is %w", err))
		}
		seen.readHeader(members)
	}
	if payload != nil {
		seen.note(seen.readPayload(payload))
	}
	return seen
}

// note keeps the first problem.
func (i *Inspection) note(err error) {
	if err != nil && i.Malformed == "" {
		i.Malformed = err.Error()
	}
}

func (i *Inspection) readHeader(members []strictjson.Member) {
	for _, m := range members {
		switch m.Name {
		case "alg":
			i.Algorithm, _ = strictjson.String(m.Value)
		case "kid":
			i.NamesKey = true
			i.KeyID, _ = strictjson.String(m.Value)
		case "crit", "b64":
			i.Critical = append(i.Critical, m.Name)
		}
	}
}

func (i *Inspection) readPayload(payload []byte) error {
	members, err := readObject(payload)
	if err != nil {
		return fmt.Errorf("the payload is %w", err)
	}
	var claims Claims
	for _, m := range members {
		if !claims.set(m) {
			if i.Malformed == "" {
				i.Claim = m.Name
			}
			what := kindOf(m.Value)
			if unit := unitOf(m.Value); unit != "" && slices.Contains([]string{"exp", "nbf", "iat"}, m.Name) {
				what = "a number that seems to count " + unit
			}
			return fmt.Errorf("the claim %s is %s", m.Name, what)
		}
	}
	i.Claims = claims
	return nil
}

// kindOf names the type of a value.
func kindOf(value string) string {
	switch value[0] {
	case '"':
		return "a text"
	case '[':
		return "a list, or one of other values than texts"
	case '{':
		return "an object"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// unitOf returns "milliseconds", "microseconds" or "nanoseconds" if a number of them is a time from 2001 to 2286, when
// seconds have ten digits; else "".
func unitOf(value string) string {
	number, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return ""
	}
	for _, unit := range []struct {
		name string
		per  float64
	}{{"milliseconds", 1e3}, {"microseconds", 1e6}, {"nanoseconds", 1e9}} {
		if seconds := number / unit.per; seconds >= 1e9 && seconds < 1e10 {
			return unit.name
		}
	}
	return ""
}

// decode decodes a segment. Its error says what is wrong with it.
func decode(name, segment string) ([]byte, error) {
	if segment == "" {
		return nil, fmt.Errorf("the %s is empty", name)
	}
	for i, c := range segment {
		// One byte is enough: the first byte of a character outside ASCII is not in the alphabet.
		if _, ok := base64urlValue(segment[i]); !ok {
			return nil, fmt.Errorf("the %s has %+q in it, which base64url has not", name, c)
		}
	}
	if !canonical(segment) {
		return nil, fmt.Errorf("the %s is cut off, or one of its characters was changed", name)
	}
	return base64.RawURLEncoding.DecodeString(segment)
}

// Audience returns the aud claim. An empty claim is present.
func (c *Claims) Audience() (audience []string, present bool) {
	return slices.Clone(c.audience), c.hasAud
}

// IssuedAt returns the iat claim in UTC, the zero time if absent.
func (c *Claims) IssuedAt() time.Time { return timeOf(c.issued).UTC() }

// NotBefore returns the nbf claim in UTC, the zero time if absent.
func (c *Claims) NotBefore() time.Time { return timeOf(c.notBefore).UTC() }
