// Package explain says why the service refuses a token, check by check, and what to do about it. The guard of the service
// decides (middleware.Guard.Judge). This package only finds words for its decision:
//
//   - explain.go runs the guard and collects the checks, up to the first that failed
//   - steps.go has the list of checks, and what is said of one that passed
//   - why.go looks for the reason of one that failed
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

// MaxHeader is longer than any header that the service reads. Of a longer text, the rest does not matter.
const MaxHeader = 2 * middleware.ReadBufferSize

// Service is the service whose answer is explained.
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
	// ReadKey reads a registered key. It may be nil when StoreError is set, or when RegisteredKey is empty.
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
	return x.explanation(middleware.NewGuard(s.Keyring, token.NewPolicy(s.Rules), 0).Judge(header))
}

// Explanation is the answer of the service in words.
type Explanation struct {
	Accepted bool    `json:"accepted"`
	Checks   []Check `json:"checks"`
	// Status and Detail are the response to a refused token. They are absent when only the service could know them.
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	// Caller is set for an accepted token.
	Caller *Caller  `json:"caller,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// Check is a check that was made. Only the last one can have failed.
type Check struct {
	Check   string `json:"check"`
	OK      bool   `json:"ok"`
	Finding string `json:"finding"`
}

// Caller is the caller of an accepted token, with the limit of its key: Rate is 0 without one.
type Caller struct {
	Key       string   `json:"key"`
	Client    string   `json:"client"`
	Scopes    []string `json:"scopes"`
	ExpiresAt string   `json:"expires_at"`
	Rate      float64  `json:"rate,omitempty"`
	Burst     int      `json:"burst,omitempty"`
}

// explainer explains one token.
type explainer struct {
	Service

	raw  string           // the token
	said token.Inspection // what it contains, verified or not
	now  time.Time
	// record is the registered key that the token names, and successor the key that replaces it; nil without one.
	record, successor *keys.Record
}

// read reads a key. It is nil when that fails: then the guard fails for the same reason.
func (x *explainer) read(id string) *keys.Record {
	record, err := x.ReadKey(id)
	if err != nil {
		return nil
	}
	return &record
}

// explanation is the result of the guard in words.
func (x *explainer) explanation(principal *keys.Principal, refused error) *Explanation {
	e := &Explanation{Accepted: refused == nil}
	code := fault.CodeOf(refused)
	for _, s := range steps() {
		if refused == nil || s.code != checkOf(code) {
			e.Checks = append(e.Checks, Check{s.name, true, s.passed(x)})
			continue
		}
		found := x.otherFailure(refused)
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
