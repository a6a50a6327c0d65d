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

	"github.com/gofiber/fiber/v2"

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
	explained, err := explain(r.ctx, loaded.Config, header)
	if err != nil {
		return err
	}
	if e.JSON {
		err = r.printJSON(explained)
	} else {
		err = explained.print(r.stdout)
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
			all, err := io.ReadAll(io.LimitReader(stdin, 2*middleware.ReadBufferSize))
			return string(all), err
		})
		if err != nil {
			return "", err
		}
	}
	if name, value, found := strings.Cut(text, ":"); found && strings.EqualFold(strings.TrimSpace(name), fiber.HeaderAuthorization) {
		text = value
	}
	return strings.TrimSpace(text), nil
}

// explanation is what the command prints.
type explanation struct {
	Accepted bool    `json:"accepted"`
	Checks   []check `json:"checks"`
	// Status and Detail are the service's answer to a token that is refused, absent where it cannot be known here.
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	// Caller is there for a token that is accepted.
	Caller *explainedCaller `json:"caller,omitempty"`
	Notes  []string         `json:"notes,omitempty"`
}

// check is one that was reached; the last one may have failed.
type check struct {
	Check   string `json:"check"`
	OK      bool   `json:"ok"`
	Finding string `json:"finding"`
}

// explainedCaller is who the service takes the caller for, and the limit of the key, 0 for none.
type explainedCaller struct {
	handlers.Caller

	Rate  float64 `json:"rate,omitempty"`
	Burst int     `json:"burst,omitempty"`
}

func (e *explanation) print(w io.Writer) error {
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

// explainer finds words for what the guard decides. It decides nothing itself.
type explainer struct {
	config  configs.Config
	keyring *keys.Keyring
	// store is there for a token that names a registered key, unless storeErr says why it is not.
	store    *store.Store
	storeErr error
	// raw is the token, and said what it says of itself.
	raw  string
	said token.Inspection
	now  time.Time
	// record is the registered key that the token names, and successor what it was rotated to; nil without one.
	record, successor *keys.Record
}

// explain asks a guard like that of the service about header, and finds words for its answer. The store is opened only
// for a token that names a registered key; beyond what opening it does, nothing is written.
func explain(ctx context.Context, config configs.Config, header string) (_ *explanation, err error) {
	raw := header
	if scheme, rest, found := strings.Cut(header, " "); found && strings.EqualFold(scheme, "Bearer") {
		raw = strings.TrimLeft(rest, " ")
	}
	x := &explainer{config: config, raw: raw, said: token.Inspect(raw), now: time.Now()}
	if keystring.IsID(x.said.KeyID) {
		options := storeOptions(config)
		options.Reading = true
		x.store, x.storeErr = store.Open(ctx, options)
		if x.store != nil {
			defer func() { err = errors.Join(err, x.store.Close()) }()
			x.record = x.read(ctx, x.said.KeyID)
			if x.record != nil && x.record.RotatedTo != "" {
				x.successor = x.read(ctx, x.record.RotatedTo)
			}
		}
	}
	var opened keys.Store = x.store
	if x.store == nil {
		opened = unopened{why: x.storeErr}
	}
	if x.keyring, err = newKeyring(config, opened, slog.New(slog.DiscardHandler), nil); err != nil {
		return nil, err
	}
	principal, err := middleware.NewGuard(x.keyring, policy(config), 0).Judge(header)
	return x.put(principal, err), nil
}

// read reads a key, nil where it cannot be read: the guard says why.
func (x *explainer) read(ctx context.Context, id string) *keys.Record {
	record, err := x.store.Key(ctx, id)
	if err != nil {
		return nil
	}
	return &record
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

// put finds the words for a verdict.
func (x *explainer) put(principal *keys.Principal, refused error) *explanation {
	e := &explanation{Accepted: refused == nil}
	code := fault.CodeOf(refused)
	for _, s := range steps() {
		if refused == nil || s.code != failing(code) {
			e.Checks = append(e.Checks, check{s.name, true, s.passed(x)})
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
		e.Checks = append(e.Checks, check{s.name, false, found.what})
		if x.storeErr == nil || code != fault.Unavailable {
			e.Status, e.Detail = middleware.StatusOf(code), code.Text()
		}
		return e
	}
	e.Caller = &explainedCaller{Caller: handlers.Caller{
		Key: principal.KeyID, Client: principal.Client, Scopes: principal.Scopes.Names(), ExpiresAt: timeText(principal.ExpiresAt),
	}}
	if x.record != nil {
		e.Caller.Rate, e.Caller.Burst = x.record.Rate, x.record.Burst
	}
	e.Notes = x.notes(principal)
	return e
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
