package cli

import (
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/latchkey-api/latchkey/app"
	"github.com/latchkey-api/latchkey/configs"
)

type serveCmd struct{}

// Help is shown by --help, below the usage.
func (serveCmd) Help() string {
	return "Settings come, the later the stronger, from built-in defaults, the file of the environment in the binary, " +
		"CONFIG_FILE, .env (development only), environment variables, and flags. Secrets have no flag."
}

// Run serves until the program is told to stop.
func (serveCmd) Run(r *command) (err error) {
	r.stderr = r.queue(r.stderr, nil)
	signal.Ignore(syscall.SIGPIPE) // a closed standard output does not stop the service
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	loaded, err := configs.LoadAndValidate(r.sources)
	if err != nil {
		return err
	}
	config := loaded.Config
	persistent := true // the secrets are in .env, where `latchkey token` finds them
	if configs.NeedsBootstrap(loaded) {
		if loaded, persistent, err = r.bootstrap(loaded); err != nil {
			return err
		}
		config = loaded.Config
	}
	var logger *slog.Logger
	log := r.queue(r.stdout, func(lines int64) { logger.Warn("log lines are missing here", "count", lines) })
	logger = app.NewLogger(config, log)
	a, err := app.New(r.ctx, config, versionText(), logger)
	if r.ctx.Err() != nil && err != nil { // told to stop during the start
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	a.CountDropped(log.Dropped)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-hangups:
				a.ReadAgain()
			case <-done:
				return
			}
		}
	}()
	return a.Run(r.ctx, func(url string) {
		for _, warning := range warnings(loaded) {
			logger.Warn(warning)
		}
		switch {
		case config.APIKey.IsZero():
			r.say("API_KEY and JWT_SECRET_KEY are not set: only registered keys can authenticate (latchkey keys create).")
		case config.AppEnv == configs.Development:
			r.sayTry(config, url, persistent)
		}
	})
}

// bootstrap makes secrets for a start in development with nothing set. It writes them to a new .env. If that is not
// possible, they last until this process ends, and persistent is false.
func (r *command) bootstrap(loaded *configs.Loaded) (_ *configs.Loaded, persistent bool, err error) {
	created, err := configs.Bootstrap(r.sources.Dir)
	if err != nil {
		r.say("No .env can be written here (%v).\nThis server uses secrets that last until it stops.", err)
		configs.FreshSecrets().Fill(&loaded.Config)
		return loaded, false, nil
	}
	if created {
		r.say("Wrote .env with fresh secrets for development. Keep it out of version control.")
	}
	loaded, err = configs.LoadAndValidate(r.sources)
	return loaded, true, err
}

// sayTry prints a curl line that can be pasted to try the service.
func (r *command) sayTry(config configs.Config, url string, persistent bool) {
	token := "$(" + r.name + " token)"
	if !persistent {
		minted, err := mint(config, config.JWTTTL, nil)
		if err != nil {
			return
		}
		token = minted
	}
	r.say("Try it:\n  curl -H \"Authorization: Bearer %s\" %s/service/account/stevenm", token, url)
}
