// Package app is the assembled service: the only package that sees handlers, middleware and store together.
package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/internal/listener"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/middleware"
	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/token"
)

// Timeouts and sizes of the HTTP server.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	bodyLimit    = 64 << 10
	// readyTimeout is how long the check of the store may take.
	readyTimeout = time.Second
)

// App is the assembled service.
type App struct {
	config  configs.Config
	version string
	logger  *slog.Logger
	store   *store.Store
	// migrations were applied when the store was opened, and are not logged yet.
	migrations []string
	keyring    *keys.Keyring
	guard      *middleware.Guard
	registry   *prometheus.Registry
	fiber      *fiber.App
	draining   atomic.Bool
	// certificate is nil without TLS.
	certificate *listener.Certificate
}

// New opens the store and builds the service. version is logged and documented. Its errors are sentences for the operator.
// The caller closes the App after Run.
func New(ctx context.Context, config configs.Config, version string, logger *slog.Logger) (_ *App, err error) {
	a := &App{config: config, version: version, logger: logger, registry: prometheus.NewRegistry()}
	if config.TLSCertFile != "" {
		if a.certificate, err = listener.LoadCertificate(config.TLSCertFile, config.TLSKeyFile, logger); err != nil {
			return nil, err
		}
	}
	options := StoreOptions(config)
	options.Logger, options.Serving = logger, true
	// Otherwise a refused start would create a store and mark it for production.
	options.Existing = a.needsKeys()
	a.store, err = store.Open(ctx, options)
	if options.Existing && errors.Is(err, store.ErrNoStore) {
		return nil, errNobody
	}
	if err != nil {
		return nil, err
	}
	a.migrations = a.store.Migrations()
	defer func() {
		if err != nil {
			a.logMigrations()
			err = errors.Join(err, a.Close())
		}
	}()
	propagation := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "latchkey_revocation_propagation_seconds",
		Help:    "Time from a key being disabled or revoked, by any process, to this instance hearing of it.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	})
	propagated := func(age time.Duration) { propagation.Observe(age.Seconds()) }
	if a.keyring, err = NewKeyring(config, a.store, logger, propagated); err != nil {
		return nil, err
	}
	if err := a.someoneCanAuthenticate(ctx); err != nil {
		return nil, err
	}
	a.guard = middleware.NewGuard(a.keyring, token.NewPolicy(Rules(config)), config.TokenCacheSize)
	if config.DemoData {
		// A full disk does not prevent the start.
		if err := a.store.InsertDemo(ctx); err != nil && !a.store.DiskFull() {
			return nil, fmt.Errorf("DEMO_DATA: %w", err)
		}
	}
	unusable := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "latchkey_keys_unusable",
		Help: "hs256 keys that MASTER_KEY does not open, of the newest 10,000 that are neither revoked nor expired.",
	}, func() float64 { return float64(a.keyring.Unusable()) })
	diskFull := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "latchkey_store_disk_full",
		Help: "1 while the disk of a SQLite store is full, so that only changes of keys are written, otherwise 0.",
	}, func() float64 {
		if a.store.DiskFull() {
			return 1
		}
		return 0
	})
	a.registry.MustRegister(propagation, unusable, diskFull, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.fiber = fiber.New(fiber.Config{
		AppName:               "latchkey",
		BodyLimit:             bodyLimit,
		CaseSensitive:         true,
		Concurrency:           concurrency(),
		DisableStartupMessage: true,
		// No route takes a form, so a malformed one gets 415 as well, not an error before routing.
		DisablePreParseMultipartForm: true,
		EnableTrustedProxyCheck:      true,
		ErrorHandler:                 middleware.ErrorHandler,
		IdleTimeout:                  config.IdleTimeout,
		Network:                      fiber.NetworkTCP,
		ReadBufferSize:               middleware.ReadBufferSize,
		ReadTimeout:                  readTimeout,
		TrustedProxies:               texts(config.TrustedProxies),
		WriteTimeout:                 writeTimeout,
	})
	middleware.Install(a.fiber, middleware.Options{
		Logger:         logger,
		AccessLog:      config.AccessLog,
		Metrics:        middleware.NewMetrics(a.registry),
		RequestTimeout: config.RequestTimeout,
		OwnTLS:         config.TLSCertFile != "",
		CORSOrigins:    config.CORSOrigins,
		TrustedProxies: config.TrustedProxies,
	})
	if err := a.addRoutes(); err != nil {
		return nil, err
	}
	middleware.Edge(a.fiber, a.draining.Load)
	return a, nil
}

// logMigrations logs the applied migrations, once. It is called after the line with the addresses, which is the first line
// of every start, or when the start fails.
func (a *App) logMigrations() {
	if len(a.migrations) > 0 {
		a.logger.Info("the schema of the store was brought up to date", "migrations", a.migrations)
		a.migrations = nil
	}
}

var errNobody = errors.New("nobody could authenticate: set API_KEY and JWT_SECRET_KEY, or make a key with latchkey keys create")

// needsKeys reports whether a start needs a registered key: in production without a shared key.
func (a *App) needsKeys() bool {
	return a.config.AppEnv == configs.Production && a.config.APIKey.IsZero()
}

// someoneCanAuthenticate refuses a start in production without any key.
func (a *App) someoneCanAuthenticate(ctx context.Context) error {
	if !a.needsKeys() {
		return nil
	}
	registered, err := a.store.HasKeys(ctx)
	if err != nil {
		return fmt.Errorf("look for registered keys: %w", err)
	}
	if !registered {
		return errNobody
	}
	return nil
}

// Close closes the store. The App cannot be used after that.
func (a *App) Close() error {
	if a.guard != nil {
		a.guard.Close()
	}
	if err := a.store.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// ReadAgain reloads the files that may change while the service runs: the TLS certificate.
func (a *App) ReadAgain() {
	if a.certificate != nil {
		a.certificate.ReadAgain()
	}
}

// CountDropped adds a metric of lost log lines.
func (a *App) CountDropped(lines func() int64) {
	a.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "latchkey_log_lines_dropped_total",
		Help: "Log lines that were lost because standard output took them too slowly, or not at all.",
	}, func() float64 { return float64(lines()) }))
}

// ready is nil when the service should receive requests.
func (a *App) ready(ctx context.Context) error {
	if a.draining.Load() {
		return errors.New("shutting down")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return a.store.Ready(ctx)
}

// StoreOptions are the options to open the store of the settings. Who serves or only reads adds that.
func StoreOptions(config configs.Config) store.Options {
	return store.Options{URL: config.DatabaseURL.Reveal(), Environment: string(config.AppEnv)}
}

// NewKeyring makes a keyring on an open store, without reading it yet. propagated may be nil.
func NewKeyring(
	config configs.Config, opened keys.Store, logger *slog.Logger, propagated func(time.Duration),
) (*keys.Keyring, error) {
	sealer, err := keys.NewSealer(masterKey(config.MasterKey), masterKey(config.MasterKeyPrevious))
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "latchkey"
	}
	return keys.NewKeyring(keys.Options{
		Shared: keys.SharedKey{
			Algorithm:      config.JWTAlgorithm,
			APIKey:         config.APIKey.Reveal(),
			Secret:         []byte(config.JWTSecretKey.Reveal()),
			PreviousSecret: []byte(config.JWTSecretKeyPrevious.Reveal()),
		},
		Store:       opened,
		Environment: KeyEnvironment(config.AppEnv),
		Sealer:      sealer,
		Logger:      logger,
		Instance:    host + "-" + strings.ToLower(rand.Text()[:6]),
		Propagated:  propagated,
	}), nil
}

// KeyEnvironment is the environment of the keys that are made and accepted in env.
func KeyEnvironment(env configs.Environment) keystring.Environment {
	if env == configs.Production {
		return keystring.Live
	}
	return keystring.Test
}

// masterKey decodes MASTER_KEY, which was checked when the settings were loaded.
func masterKey(s configs.Secret) []byte {
	key, _ := base64.StdEncoding.DecodeString(s.Reveal())
	return key
}

// Rules are the rules for tokens in the settings.
func Rules(config configs.Config) token.Rules {
	return token.Rules{
		Audience:        config.JWTAudience,
		RequireAudience: config.JWTRequireAudience,
		Leeway:          config.JWTLeeway,
		MaxLifetime:     config.JWTMaxLifetime,
	}
}

// NewLogger makes a logger with the level and the format of the settings.
func NewLogger(config configs.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: config.LogLevel}
	if config.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func texts(prefixes []netip.Prefix) []string {
	list := make([]string, len(prefixes))
	for i, p := range prefixes {
		list[i] = p.String()
	}
	return list
}

// maxConnections is the maximum of open connections. The engine answers more of them with 503 and closes them.
const maxConnections = 4096

// concurrency is the maximum for this process: at most half of its descriptors, because without a free one the listener
// cannot even accept a connection to refuse it.
func concurrency() int {
	return min(maxConnections, max(1, listener.Descriptors()/2))
}
