package explain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/token"
)

// step is a check of the guard, in words.
type step struct {
	// code is the fault of a token that fails the check.
	code fault.Code
	name string
	// passed says what was checked, failed what is wrong.
	passed func(*explainer) string
	failed func(*explainer) finding
	// remedy is used when failed gives none.
	remedy string
}

// finding is what is wrong, and what to do about it. Without a remedy, that of the step is used.
type finding struct{ what, remedy string }

// steps are the checks, in the order of the guard.
func steps() []step {
	return []step{
		{
			fault.AuthorizationMissing, "header", always("there is one"), only(always("there is no token")),
			`Send the header "Authorization: Bearer <token>"; latchkey token prints a token.`,
		},
		{
			fault.TokenTooLong, "length", (*explainer).length, only((*explainer).length),
			"Leave out what the service does not read: a token needs apiKey, exp, iat and aud, and may have nbf and scope.",
		},
		{
			fault.TokenMalformed, "form", always("three parts of strict JSON and a signature"), (*explainer).malformed,
			"Copy the token whole and nothing else, just as the JWT library made it.",
		},
		{
			fault.KeyNotAcceptable, "key", (*explainer).keyName, (*explainer).unacceptable,
			"Sign with the key that kid names and with that key's algorithm; without kid, with the shared key.",
		},
		{
			fault.SignatureInvalid, "signature", always("made with this key"), (*explainer).forged,
			"Sign with the secret half of the key that the token names, and change nothing afterwards.",
		},
		{
			fault.TokenExpired, "expiry", (*explainer).expiry, (*explainer).expired,
			"Make a new token. If one that was just made is refused so, the clock where it is made is behind.",
		},
		{
			fault.TokenNotYetValid, "begin", (*explainer).begin, (*explainer).early,
			"Wait until then, or make a token that begins sooner.",
		},
		{
			fault.ClaimMissing, "claims", always("none is missing"), (*explainer).missing,
			"Put exp, iat and aud into every token.",
		},
		{
			fault.AudienceInvalid, "audience", (*explainer).audience, only((*explainer).audience),
			"Put this service's JWT_AUDIENCE into the aud claim, letter by letter, or send the token to the service it is for.",
		},
		{
			fault.LifetimeTooLong, "lifetime", (*explainer).lifetime, only((*explainer).lifetime),
			"Make tokens that live shorter, and make them more often.",
		},
		{
			fault.APITokenMissing, "apiKey", always("there is one"), only(always("there is no apiKey claim, or it says nothing")),
			"Put the key's id into the apiKey claim; with the shared key, API_KEY.",
		},
		{
			fault.APITokenIncorrect, "key in force", (*explainer).inForce, (*explainer).incorrect,
			"Put the key's id into the apiKey claim, with the shared key API_KEY, and use a key that is in force.",
		},
	}
}

func always(text string) func(*explainer) string { return func(*explainer) string { return text } }

// only is a finding without a remedy.
func only(what func(*explainer) string) func(*explainer) finding {
	return func(x *explainer) finding { return finding{what: what(x)} }
}

// checkOf is the code of the check that a failure is shown at. Most codes are those of a check. The others are:
//   - refusals by the engine, before the guard runs: shown at the check of the length or of the form
//   - faults of the store, or of the key that was read: shown at the check of the key
func checkOf(code fault.Code) fault.Code {
	switch {
	case slices.ContainsFunc(steps(), func(s step) bool { return s.code == code }):
		return code
	case code == fault.HeaderTooLarge:
		return fault.TokenTooLong
	case code == fault.BadRequest:
		return fault.TokenMalformed
	default:
		return fault.KeyNotAcceptable
	}
}

// otherFailure is the finding for a failure whose code is not that of a check.
func (x *explainer) otherFailure(err error) finding {
	switch code := fault.CodeOf(err); {
	case code == fault.HeaderTooLarge:
		return finding{what: x.length()}
	case code == fault.BadRequest:
		return finding{what: "there is a line break or another control character in it, which no header can have"}
	case x.StoreError != nil:
		return finding{
			"it names the registered key " + x.said.KeyID + ", and to check that, the store is needed: " + x.StoreError.Error(),
			"Run this where the service runs, with its settings: DATABASE_URL and APP_ENV say which store it has.",
		}
	}
	cause := err
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Unwrap() != nil {
		cause = f.Unwrap()
	}
	found := finding{cause.Error(), "The token is not at fault: look at the log of the service, and at its store."}
	if _, newer := errors.AsType[*keys.NewerError](err); newer {
		found.remedy = "Update the service, or send the token to an instance that is newer."
	} else if x.record != nil && x.record.Kind == keystring.HS256 {
		found.remedy = "Start the service with the MASTER_KEY under which the key was made, or with that one as MASTER_KEY_PREVIOUS."
	}
	return found
}

// key is the key that the guard verifies the token with.
func (x *explainer) key() (*keys.Key, error) {
	if x.said.NamesKey {
		return x.Keyring.Find(x.said.KeyID)
	}
	return x.Keyring.Shared()
}

// keyName describes the key, when it was found.
func (x *explainer) keyName() string {
	if x.said.NamesKey {
		return x.said.KeyID + ", " + x.said.Algorithm
	}
	return "the shared key, " + x.said.Algorithm
}

func (x *explainer) length() string {
	return fmt.Sprintf("%d bytes, at most %d", len(x.raw), token.MaxLength)
}

func (x *explainer) expiry() string {
	switch at := x.said.Claims.ExpiresAt(); {
	case at.IsZero():
		return "nothing to judge"
	case at.After(x.now):
		return "expires in " + span(at.Sub(x.now))
	default:
		return "expired " + x.ago(at) + ", within the leeway of " + span(x.Rules.Leeway)
	}
}

func (x *explainer) begin() string {
	claims := &x.said.Claims
	if at := claims.IssuedAt(); !at.IsZero() && !at.After(x.now) {
		return "made " + x.ago(at)
	}
	return fmt.Sprintf("neither iat nor nbf is more than %s ahead", span(x.Rules.Leeway))
}

func (x *explainer) audience() string {
	list, present := x.said.Claims.Audience()
	said := make([]string, 0, maxNamed)
	for _, one := range list[:min(len(list), maxNamed)] {
		said = append(said, x.quote(one))
	}
	text := "aud is " + strings.Join(said, ", ")
	switch {
	case !present:
		return "there is no aud, and none is required"
	case len(list) == 0:
		text = "aud is empty"
	case len(list) > maxNamed:
		text += ", ..."
	}
	return text + ", this service is " + strconv.Quote(x.Rules.Audience)
}

func (x *explainer) lifetime() string {
	claims := &x.said.Claims
	name, begin := "iat", claims.IssuedAt()
	if begin.IsZero() {
		name, begin = "nbf", claims.NotBefore()
	}
	return fmt.Sprintf("exp is %s after %s, at most %s", span(claims.ExpiresAt().Sub(begin)), name, span(x.Rules.MaxLifetime))
}

// inForce is said of a token that passed all checks.
func (x *explainer) inForce() string {
	if !x.said.NamesKey {
		return "apiKey is API_KEY"
	}
	return "apiKey is the key's id, and the key is enabled"
}

// ago is how long ago a time was.
func (x *explainer) ago(at time.Time) string { return span(x.now.Sub(at)) + " ago" }

// clock names the times that were compared, so that a wrong clock can be seen.
func (x *explainer) clock(claim string, at time.Time) string {
	return fmt.Sprintf(": %s is %s, the clock here is %s, the leeway %s", claim, timeText(at), timeText(x.now), span(x.Rules.Leeway))
}

// span is a duration in one unit: the largest of which it has at least two.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int64(d.Round(time.Second)/time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int64(d/time.Minute))
	case d < 2*day:
		return fmt.Sprintf("%d h", int64(d/time.Hour))
	default:
		return fmt.Sprintf("%d d", int64(d/day))
	}
}
