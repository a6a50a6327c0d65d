// Package explain says why the service refuses a token, check by check, and what to do about it.
package explain

import (
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/middleware"
	"github.com/latchkey-api/latchkey/token"
)

// MaxHeader is more than the service reads of a request's header: a longer token is refused for its length, whatever
// follows.
const MaxHeader = 2 * middleware.ReadBufferSize

// Service is the service that is asked about: what it judges with, and what is explained from.
type Service struct {
	Keyring     *keys.Keyring
	Rules       token.Rules
	Environment keystring.Environment
	// APIKey is the apiKey claim of the shared key; empty without a shared key.
	APIKey string
	// HasPreviousSecret is true while the shared key has two secrets.
	HasPreviousSecret bool
	// Secrets are not printed, even where a token contains them. Empty ones are ignored.
	Secrets []string
	// ReadKey reads a registered key. It may be nil for a token that names none, and when there is a StoreError.
	ReadKey func(id string) (keys.Record, error)
	// StoreError is the reason why the store cannot be read, nil when it can.
	StoreError error
}

// RegisteredKey is the id of the registered key that the token in header names; empty when it names none. Only such a
// token needs the store.
func RegisteredKey(header string) string {
	if said := token.Inspect(bare(header)); keystring.IsID(said.KeyID) {
		return said.KeyID
	}
	return ""
}

// bare is the token in the value of an Authorization header.
func bare(header string) string {
	if scheme, rest, found := strings.Cut(header, " "); found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimLeft(rest, " ")
	}
	return header
}

// Explain runs the guard of the service on header, and finds words for its answer. It writes nothing.
func (s Service) Explain(header string) *Explanation {
	raw := bare(header)
	x := &explainer{Service: s, raw: raw, said: token.Inspect(raw), now: time.Now()}
	if id := x.said.KeyID; keystring.IsID(id) && s.ReadKey != nil {
		x.record = x.read(id)
		if x.record != nil && x.record.RotatedTo != "" {
			x.successor = x.read(x.record.RotatedTo)
		}
	}
	return x.put(middleware.NewGuard(s.Keyring, token.NewPolicy(s.Rules), 0).Judge(header))
}

// Explanation is what the command prints.
type Explanation struct {
	Accepted bool    `json:"accepted"`
	Checks   []Check `json:"checks"`
	// Status and Detail are the service's answer to a token that is refused, absent where it cannot be known here.
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	// Caller is there for a token that is accepted.
	Caller *Caller  `json:"caller,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// Check is one that was reached; the last one may have failed.
type Check struct {
	Check   string `json:"check"`
	OK      bool   `json:"ok"`
	Finding string `json:"finding"`
}

// Caller is who the service takes the caller for, and the limit of the key, 0 for none.
type Caller struct {
	Key       string   `json:"key"`
	Client    string   `json:"client"`
	Scopes    []string `json:"scopes"`
	ExpiresAt string   `json:"expires_at"`
	Rate      float64  `json:"rate,omitempty"`
	Burst     int      `json:"burst,omitempty"`
}

// explainer finds words for what the guard decides. It decides nothing itself.
type explainer struct {
	Service

	// raw is the token, and said what it says of itself.
	raw  string
	said token.Inspection
	now  time.Time
	// record is the registered key that the token names, and successor what it was rotated to; nil without one.
	record, successor *keys.Record
}

// read reads a key, nil where it cannot be read: the guard says why.
func (x *explainer) read(id string) *keys.Record {
	record, err := x.ReadKey(id)
	if err != nil {
		return nil
	}
	return &record
}

// put finds the words for a verdict.
func (x *explainer) put(principal *keys.Principal, refused error) *Explanation {
	e := &Explanation{Accepted: refused == nil}
	code := fault.CodeOf(refused)
	for _, s := range steps() {
		if refused == nil || s.code != failing(code) {
			e.Checks = append(e.Checks, Check{s.name, true, s.passed(x)})
			continue
		}
		found := x.trouble(refused)
		if s.code == code {
			found = s.failed(x)
		}
		e.Remedy = found.remedy
		if e.Remedy == "" {
			e.Remedy = s.remedy
		}
		e.Checks = append(e.Checks, Check{s.name, false, found.what})
		if x.StoreError == nil || code != fault.Unavailable {
			e.Status, e.Detail = middleware.StatusOf(code), code.Text()
		}
		return e
	}
	e.Caller = &Caller{
		Key: principal.KeyID, Client: principal.Client, Scopes: principal.Scopes.Names(), ExpiresAt: timeText(principal.ExpiresAt),
	}
	if x.record != nil {
		e.Caller.Rate, e.Caller.Burst = x.record.Rate, x.record.Burst
	}
	e.Notes = x.notes(principal)
	return e
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
