package cli

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

	"github.com/latchkey-api/latchkey/app"
	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/explain"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

type explainCmd struct {
	Token []string `arg:"" optional:"" help:"The token, or the whole header; - or nothing reads it from standard input, where no other process sees it."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

// Help is shown by --help, below the usage.
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

// header is the value of the Authorization header to explain.
func (e explainCmd) header(r *command, stdin *os.File) (string, error) {
	text := strings.Join(e.Token, " ") // an unquoted header comes as several arguments
	if len(e.Token) == 0 {
		if info, err := stdin.Stat(); err != nil || info.Mode()&fs.ModeCharDevice != 0 {
			return "", errors.New("give a token, or pipe one in")
		}
		text = "-"
	}
	if text == "-" {
		var err error
		// A longer text is too long anyway.
		text, err = r.input("the token", func() (string, error) {
			all, err := io.ReadAll(io.LimitReader(stdin, explain.MaxHeader))
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

func printExplanation(w io.Writer, e *explain.Explanation) error {
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
func explainHeader(ctx context.Context, config configs.Config, header string) (_ *explain.Explanation, err error) {
	service := explain.Service{
		Rules:             app.Rules(config),
		Environment:       app.KeyEnvironment(config.AppEnv),
		APIKey:            config.APIKey.Reveal(),
		HasPreviousSecret: !config.JWTSecretKeyPrevious.IsZero(),
	}
	for _, secret := range []configs.Secret{
		config.APIKey, config.JWTSecretKey, config.JWTSecretKeyPrevious, config.MasterKey, config.MasterKeyPrevious,
	} {
		service.Secrets = append(service.Secrets, secret.Reveal())
	}
	var reading keys.Store = unopened{}
	if explain.RegisteredKey(header) != "" {
		options := app.StoreOptions(config)
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
	if service.Keyring, err = app.NewKeyring(config, reading, slog.New(slog.DiscardHandler), nil); err != nil {
		return nil, err
	}
	return service.Explain(header), nil
}

// unopened is in the place of a store that could not be opened, or that is not needed.
type unopened struct {
	keys.Store

	why error
}

// KeysByID fails with the reason.
func (u unopened) KeysByID(context.Context, []string) ([]keys.Record, error) {
	return nil, fault.Wrap(fault.Unavailable, u.why)
}
