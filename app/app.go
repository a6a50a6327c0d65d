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

// The limits of the edge.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	bodyLimit    = 64 << 10
	// readyTimeout is how long the store may take to say that it is well.
	readyTimeout = time.Second
)

// App is the service, ready to run.
type App struct {
	config  configs.Config
	version string
	logger  *slog.Logger
	store   *store.Store
	// migrations are those that opening the store applied, until they are logged.
	migrations []string
	keyring    *keys.Keyring
	guard      *middleware.Guard
	registry   *prometheus.Registry
	fiber      *fiber.App
	draining   atomic.Bool
	// certificate is nil without TLS.
	certificate *listener.Certificate
}

// New opens the store and builds everything on it. version is that of the program, for the log. Its errors are sentences for the operator. The caller closes the App
// after Run.
func New(ctx context.Context, config configs.Config, version string, logger *slog.Logger) (_ *App, err error) {
	a := &App{config: config, version: version, logger: logger, registry: prometheus.NewRegistry()}
	if config.TLSCertFile != "" {
		if a.certificate, err = listener.LoadCertificate(config.TLSCertFile, config.TLSKeyFile, logger); err != nil {
			return nil, err
		}
	}
	options := StoreOptions(config)
	options.Logger, options.Serving = logger, true
	// A store would be marked as one of production though the start is refused.
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
		// A full disk keeps nobody from starting.
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
		// No route takes a form, and one that is malformed is 415 like every other, not an error before routing.
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

// logMigrations says once what opening did to the schema. The first line of a start is the one with the addresses, so that
// this waits for it, unless there will be none.
func (a *App) logMigrations() {
	if len(a.migrations) > 0 {
		a.logger.Info("the schema of the store was brought up to date", "migrations", a.migrations)
		a.migrations = nil
	}
}

var errNobody = errors.New("nobody could authenticate: set API_KEY and JWT_SECRET_KEY, or make a key with latchkey keys create")

// needsKeys says that only registered keys could authenticate, and that a start without any is refused.
func (a *App) needsKeys() bool {
	return a.config.AppEnv == configs.Production && a.config.APIKey.IsZero()
}

// someoneCanAuthenticate refuses a start in production that would turn everybody away.
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

// Close closes the store. The App cannot be used afterwards.
func (a *App) Close() error {
	if a.guard != nil {
		a.guard.Close()
	}
	if err := a.store.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// ReadAgain reads the files again that may change while the service runs.
func (a *App) ReadAgain() {
	if a.certificate != nil {
		a.certificate.ReadAgain()
	}
}

// CountDropped makes a metric of the log lines that were lost.
func (a *App) CountDropped(lines func() int64) {
	a.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "latchkey_log_lines_dropped_total",
		Help: "Log lines that were lost because standard output took them too slowly, or not at all.",
	}, func() float64 { return float64(lines()) }))
}

// ready says whether requests should be sent here.
func (a *App) ready(ctx context.Context) error {
	if a.draining.Load() {
		return errors.New("shutting down")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return a.store.Ready(ctx)
}

// StoreOptions names the store of the settings, for a process that neither serves nor only reads.
func StoreOptions(config configs.Config) store.Options {
	return store.Options{URL: config.DatabaseURL.Reveal(), Environment: string(config.AppEnv)}
}

// NewKeyring makes the keyring of a store. It neither reads nor writes yet. propagated may be nil.
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

// KeyEnvironment is that of the keys which an environment makes and accepts.
func KeyEnvironment(env configs.Environment) keystring.Environment {
	if env == configs.Production {
		return keystring.Live
	}
	return keystring.Test
}

// masterKey decodes a setting that was checked when it was loaded.
func masterKey(s configs.Secret) []byte {
	key, _ := base64.StdEncoding.DecodeString(s.Reveal())
	return key
}

// Rules are what the settings ask of a token.
func Rules(config configs.Config) token.Rules {
	return token.Rules{
		Audience:        config.JWTAudience,
		RequireAudience: config.JWTRequireAudience,
		Leeway:          config.JWTLeeway,
		MaxLifetime:     config.JWTMaxLifetime,
	}
}

// NewLogger writes to w what the settings ask for.
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

// maxConnections bounds the open connections; past it the engine answers 503 and closes.
const maxConnections = 4096

// concurrency leaves half of the descriptors this process may have to everything that is no connection: a listener that
// runs out of them cannot even refuse.
func concurrency() int {
	return min(maxConnections, max(1, listener.Descriptors()/2))
}
