package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// How much of a token is repeated.
const (
	maxQuoted = 60 // characters of one text
	maxNamed  = 5  // members of a list
)

// hide removes secrets and key strings from a text of the token.
func (x *explainer) hide(text string) string {
	for _, secret := range x.Secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	return keystring.Redact(text, func(env keystring.Environment, id string) string {
		if id == "" {
			return "lk_" + string(env) + "_[redacted]"
		}
		return "lk_" + string(env) + "_" + id + "_[redacted]"
	})
}

// quote makes a text of the token safe for a terminal: without secrets, quoted, escaped and short.
func (x *explainer) quote(text string) string {
	text = x.hide(text)
	if utf8.RuneCountInString(text) <= maxQuoted {
		return strconv.Quote(text)
	}
	return strconv.Quote(string([]rune(text)[:maxQuoted])) + "..."
}

func (x *explainer) malformed() finding {
	switch {
	case keystring.In(x.raw):
		return finding{"there is a key string in it", "Send a token that is made with the key, never the key itself: LATCHKEY_KEY=... latchkey token makes one. Whoever saw the key can use it: rotate it with --grace 0s."}
	case x.APIKey != "" && x.raw == x.APIKey:
		return finding{"it is API_KEY itself", "Send a token that has API_KEY as its apiKey claim: latchkey token prints one."}
	case strings.ContainsAny(x.raw, " \t"):
		return finding{"there is a space in it", `Send the header "Authorization: Bearer <token>", with one token and no other scheme.`}
	case x.said.Claim != "":
		return finding{x.said.Malformed, claimForm(x.said.Claim)}
	case x.said.Malformed == "":
		return finding{what: "it has not the form of a token"}
	default:
		return finding{what: x.said.Malformed}
	}
}

// claimForm is the remedy for a claim of the wrong type.
func claimForm(claim string) string {
	switch claim {
	case "exp", "nbf", "iat":
		return "Make " + claim + " a NumericDate (RFC 7519): a JSON number without quotes, the seconds since 1970, such as 1767225600. " +
			"Milliseconds, texts and lists are none."
	case "scope":
		return `Make scope one text of names with a space between them (RFC 8693), such as "accounts:read accounts:write", and no list.`
	case "aud":
		return "Make aud one text, or a list of texts."
	default:
		return "Make " + claim + " one text."
	}
}

func (x *explainer) unacceptable() finding {
	said := x.said
	key, err := x.key()
	switch {
	case !slices.Contains([]string{"HS256", "HS384", "HS512", "EdDSA"}, said.Algorithm):
		what := "signed with " + x.quote(said.Algorithm)
		if said.Algorithm == "" {
			what = "the header does not say with which algorithm (alg) it is signed"
		}
		if key != nil {
			return finding{what: what + ", this key signs with " + key.Algorithm()}
		}
		return finding{what: what + ", which no key here signs with"}
	case len(said.Critical) > 0:
		return finding{"the header has " + strings.Join(said.Critical, " and "), "Make the token without crit and b64: this service takes no extensions."}
	case !said.NamesKey && err != nil:
		return finding{
			"it names no key (no kid), and this service has no shared key",
			"Put the id of a registered key into kid, or set API_KEY and JWT_SECRET_KEY for the service.",
		}
	case said.NamesKey && !keystring.IsID(said.KeyID):
		return finding{
			"kid is " + x.quote(said.KeyID) + ", which is no id of a key",
			"Put the key's id into kid, 12 characters that begin with E or H, and nothing else; leave kid out for the shared key.",
		}
	case fault.CodeOf(err) == fault.KeyNotAcceptable && err != nil:
		return finding{
			"this service has no key " + said.KeyID,
			"Look at latchkey keys list: the key was made for another service or for its other environment, or kid has a typing error.",
		}
	case key != nil && key.Algorithm() != said.Algorithm:
		return finding{what: "signed with " + said.Algorithm + ", this key signs with " + key.Algorithm()}
	default:
		return finding{what: "this service takes no token with such a header"}
	}
}

func (x *explainer) forged() finding {
	if !x.said.NamesKey {
		what := "not made with this service's JWT_SECRET_KEY"
		if x.HasPreviousSecret {
			what += ", nor with JWT_SECRET_KEY_PREVIOUS"
		}
		return finding{what, "Sign with JWT_SECRET_KEY just as it is written: not decoded, and without a line break at its end."}
	}
	if x.record == nil {
		return finding{what: "not made with the secret half of " + x.said.KeyID}
	}
	found := finding{
		"not made with the secret half of " + x.record.ID,
		"Sign with the key string of " + x.record.ID + "; latchkey keys pem prints it for other JWT libraries.",
	}
	if x.record.Kind == keystring.HS256 {
		found.remedy = "Sign with the whole key string of " + x.record.ID + " as it was printed, all 70 characters, as text and not decoded."
	}
	if x.record.RotatedTo != "" {
		found.what += "; this " + x.rotated()
		found.remedy += " A token made with the successor must have the successor's id as kid and as apiKey."
	}
	return found
}

// rotated is when the key was rotated, and its successor.
func (x *explainer) rotated() string {
	text := "key rotated"
	if x.successor != nil {
		text += " " + x.ago(x.successor.CreatedAt)
	}
	return text + ", successor " + x.record.RotatedTo
}

func (x *explainer) expired() finding {
	at := x.said.Claims.ExpiresAt()
	return finding{what: "expired " + x.ago(at) + x.clock("exp", at)}
}

func (x *explainer) early() finding {
	ahead := func(at time.Time) bool { return !at.IsZero() && at.Sub(x.now) > x.Rules.Leeway }
	claims := &x.said.Claims
	if at := claims.IssuedAt(); ahead(at) {
		return finding{
			"your clock is " + span(at.Sub(x.now)) + " ahead" + x.clock("iat", at),
			"Set the clock where tokens are made, by NTP.",
		}
	}
	at := claims.NotBefore()
	return finding{what: "it begins in " + span(at.Sub(x.now)) + x.clock("nbf", at)}
}

func (x *explainer) missing() finding {
	claims := &x.said.Claims
	switch {
	case claims.ExpiresAt().IsZero():
		return finding{what: "there is no exp"}
	case claims.IssuedAt().IsZero() && claims.NotBefore().IsZero():
		return finding{what: "there is neither iat nor nbf"}
	default:
		return finding{"there is no aud", "Put this service's name into aud: " + strconv.Quote(x.Rules.Audience) + "."}
	}
}

func (x *explainer) incorrect() finding {
	claimed, _ := x.said.Claims.APIKey()
	is := "apiKey is " + x.quote(claimed)
	if claimed == "" {
		is = "apiKey is no string"
	}
	r := x.record
	switch {
	case !x.said.NamesKey:
		return finding{is + ": the shared key's token must name API_KEY", "Put API_KEY, as the service has it, into the apiKey claim."}
	case claimed != x.said.KeyID:
		return finding{
			is + ": it must be the kid, " + x.said.KeyID,
			"Put the id of the key into apiKey, and never the key string: everybody who sees a token can read what it says.",
		}
	case r == nil:
		return finding{what: "key " + x.said.KeyID + " is not in force"}
	case r.State == keys.Revoked:
		return finding{"key revoked", "Use another key: this one stays revoked. latchkey keys create makes one."}
	case r.State == keys.Disabled:
		return finding{"key disabled", "Ask why, then enable it again: latchkey keys enable " + r.ID}
	case r.Expired(x.now) && r.RotatedTo != "":
		return finding{x.rotated() + "; it was accepted until " + timeText(r.ExpiresAt), "Use the key string of the successor, " + r.RotatedTo + "."}
	case r.Expired(x.now):
		return finding{"key expired " + x.ago(r.ExpiresAt) + ", at " + timeText(r.ExpiresAt), "Use another key: latchkey keys create makes one."}
	default:
		return finding{
			fmt.Sprintf("key made for %q, this service takes those for %q", r.Environment, x.Environment),
			"Use a key that was made in this environment; APP_ENV says which one it is.",
		}
	}
}

// notes are remarks on an accepted token: scopes without effect, and when its key ends.
func (x *explainer) notes(principal *keys.Principal) []string {
	var notes []string
	scope, _ := x.said.Claims.Scope()
	for name := range strings.SplitSeq(scope, " ") {
		switch {
		case name == "" || principal.Scopes.Has(keys.Scope(name)):
			continue
		case keys.Scope(name).Known():
			notes = append(notes, "the key does not have the scope "+name)
		default:
			notes = append(notes, "there is no scope "+x.quote(name)+": it adds nothing")
		}
		if len(notes) == maxNamed {
			break
		}
	}
	switch {
	case x.record == nil || x.record.ExpiresAt.IsZero():
	case x.record.RotatedTo != "":
		notes = append(notes, x.rotated()+"; it is accepted until "+timeText(x.record.ExpiresAt))
	default:
		notes = append(notes, "the key expires in "+span(x.record.ExpiresAt.Sub(x.now))+", at "+timeText(x.record.ExpiresAt))
	}
	return notes
}
