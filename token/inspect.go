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

// Inspection is what a token says of itself, whether or not it is true. It is for telling whoever holds the token what
// is wrong with it: nothing in it may be believed, and nothing may be decided by it.
type Inspection struct {
	// Malformed says where the form is broken, "" where it is sound. It quotes single characters and nothing else.
	Malformed string
	// Claim is the claim whose type or range is what Malformed says, "" where it is something else.
	Claim string
	// Algorithm is the alg of the header, "" where there is none or where it is no string.
	Algorithm string
	// NamesKey says whether the header has a kid, and KeyID is that kid, "" where it is no string.
	NamesKey bool
	KeyID    string
	// Critical are those of the header parameters crit and b64 that are there.
	Critical []string
	// Claims is the payload, without claims where that could not be read.
	Claims Claims
}

// Inspect reads as much of a token as can be read.
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

// note keeps the first thing that is wrong.
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
		if !claims.set(m) { // one of the few that have a type
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

// kindOf says what a value is, without a part of it.
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

// unitOf names the unit in which a number is a time between 2001 and 2286, where it is smaller than a second; else "".
// Seconds have ten digits then.
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

// decode decodes a segment, or says why it is none.
func decode(name, segment string) ([]byte, error) {
	if segment == "" {
		return nil, fmt.Errorf("the %s is empty", name)
	}
	for i, c := range segment {
		// The first byte of a character that is not ASCII is none of the alphabet either.
		if _, ok := base64urlValue(segment[i]); !ok {
			return nil, fmt.Errorf("the %s has %+q in it, which base64url has not", name, c)
		}
	}
	if !canonical(segment) {
		return nil, fmt.Errorf("the %s is cut off, or one of its characters was changed", name)
	}
	return base64.RawURLEncoding.DecodeString(segment)
}

// Audience is the aud claim, nil without one; present tells an empty one from none.
func (c *Claims) Audience() (audience []string, present bool) {
	return slices.Clone(c.audience), c.hasAud
}

// IssuedAt is the iat claim in UTC, the zero time where there is none.
func (c *Claims) IssuedAt() time.Time { return timeOf(c.issued).UTC() }

// NotBefore is the nbf claim in UTC, the zero time where there is none.
func (c *Claims) NotBefore() time.Time { return timeOf(c.notBefore).UTC() }
