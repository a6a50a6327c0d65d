package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/middleware"
	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/token"
)

type explainCmd struct {
	Token []string `arg:"" optional:"" help:"The token, or the whole header; - or nothing reads it from standard input, where no other process sees it."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

// Help is what --help adds.
func (explainCmd) Help() string {
	return "Prints the checks of the guard in their order up to the first that fails, what the service answers, and what " +
		"to do. The exit code is 0 for a token that is accepted."
}

var errRefused = errors.New("this token is refused")

// Run explains a token.
func (e explainCmd) Run(r *command) error {
	header, err := e.header(r, os.Stdin)
	if err != nil {
		return err
	}
	src := r.sources
	src.Only = []string{
		"APP_ENV", "API_KEY", "JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS", "JWT_ALGORITHM", "JWT_AUDIENCE", "JWT_REQUIRE_AUDIENCE",
		"JWT_LEEWAY", "JWT_MAX_LIFETIME", "MASTER_KEY", "MASTER_KEY_PREVIOUS", "DATABASE_URL",
	}
	loaded, err := configs.Load(src)
	if err != nil {
		return err
	}
	explained, err := explainHeader(r.ctx, loaded.Config, header)
	if err != nil {
		return err
	}
	if e.JSON {
		err = r.printJSON(explained)
	} else {
		err = printExplanation(r.stdout, explained)
	}
	if err == nil && !explained.Accepted {
		err = errRefused
	}
	return err
}

// header is the value of the Authorization header that is asked about.
func (e explainCmd) header(r *command, stdin *os.File) (string, error) {
	text := strings.Join(e.Token, " ") // a header without quotes around it comes in words
	if len(e.Token) == 0 {
		if info, err := stdin.Stat(); err != nil || info.Mode()&fs.ModeCharDevice != 0 {
			return "", errors.New("give a token, or pipe one in")
		}
		text = "-"
	}
	if text == "-" {
		var err error
		// All of it, but no more than it takes to see that it is too long.
		text, err = r.input("the token", func() (string, error) {
			all, err := io.ReadAll(io.LimitReader(stdin, MaxHeader))
			return string(all), err
		})
		if err != nil {
			return "", err
		}
	}
	if name, value, found := strings.Cut(text, ":"); found && strings.EqualFold(strings.TrimSpace(name), "Authorization") {
		text = value
	}
	return strings.TrimSpace(text), nil
}

func printExplanation(w io.Writer, e *Explanation) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range e.Checks {
		result := "ok"
		if !c.OK {
			result = "FAILS"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", result, c.Check, c.Finding)
	}
	_, _ = fmt.Fprintln(table)
	switch {
	case e.Caller != nil:
		scopes := strings.Join(e.Caller.Scopes, " ")
		if scopes == "" {
			scopes = "none"
		}
		limit := limitInWords(handlers.Key{Rate: e.Caller.Rate, Burst: e.Caller.Burst})
		_, _ = fmt.Fprintf(table, "Accepted until %s: key %s of client %q, %s.\nScopes: %s\n",
			e.Caller.ExpiresAt, e.Caller.Key, e.Caller.Client, limit, scopes)
	case e.Status != 0:
		_, _ = fmt.Fprintf(table, "The service answers %d: %s\n", e.Status, e.Detail)
	}
	if e.Remedy != "" {
		_, _ = fmt.Fprintln(table, "What to do: "+e.Remedy)
	}
	for _, note := range e.Notes {
		_, _ = fmt.Fprintln(table, "Note: "+note)
	}
	return table.Flush()
}

// explainHeader explains header as the service with these settings sees it. It opens the store only for a token that
// names a registered key, and only to read.
func explainHeader(ctx context.Context, config configs.Config, header string) (_ *Explanation, err error) {
	service := Service{
		Rules:             rules(config),
		Environment:       keyEnvironment(config.AppEnv),
		APIKey:            config.APIKey.Reveal(),
		HasPreviousSecret: !config.JWTSecretKeyPrevious.IsZero(),
	}
	for _, secret := range []configs.Secret{
		config.APIKey, config.JWTSecretKey, config.JWTSecretKeyPrevious, config.MasterKey, config.MasterKeyPrevious,
	} {
		service.Secrets = append(service.Secrets, secret.Reveal())
	}
	var reading keys.Store = unopened{}
	if RegisteredKey(header) != "" {
		options := storeOptions(config)
		options.Reading = true
		opened, refused := store.Open(ctx, options)
		if refused != nil {
			service.StoreError, reading = refused, unopened{why: refused}
		} else {
			defer func() { err = errors.Join(err, opened.Close()) }()
			service.ReadKey = func(id string) (keys.Record, error) { return opened.Key(ctx, id) }
			reading = opened
		}
	}
	if service.Keyring, err = newKeyring(config, reading, slog.New(slog.DiscardHandler), nil); err != nil {
		return nil, err
	}
	return service.Explain(header), nil
}

// unopened stands for a store that could not be opened.
type unopened struct {
	keys.Store

	why error
}

// KeysByID fails.
func (u unopened) KeysByID(context.Context, []string) ([]keys.Record, error) {
	return nil, fault.Wrap(fault.Unavailable, u.why)
}

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
