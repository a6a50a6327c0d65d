package configs

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// setting is a row of the table: its name, its meaning, and its parser for every layer.
type setting struct {
	name     string
	fallback string // the built-in default, as text
	about    string
	// placeholder is the value in .env.template. latchkey init replaces it with a fresh secret.
	placeholder string
	secret      bool
	optional    bool // may be empty
	list        bool // may be a YAML sequence
	binding
}

// binding parses a text into one field of Config.
type binding struct {
	want string // completes "NAME must be "
	set  func(c *Config, text string) bool
}

// into binds a field to the kind of its values.
func into[T any](field func(*Config) *T, k kind[T]) binding {
	return binding{want: k.want, set: func(c *Config, text string) bool {
		v, ok := k.parse(text)
		if ok {
			*field(c) = v
		}
		return ok
	}}
}

const nameAppEnv = "APP_ENV"

// settings is the table, in the order of listings. A placeholder is a value that works in development.
func settings() []setting {
	return []setting{
		{
			name: nameAppEnv, fallback: string(Development),
			about:   "development or production; only the environment and --app-env can set it",
			binding: into(func(c *Config) *Environment { return &c.AppEnv }, environment()),
		},
		{
			name: "HOST", fallback: "127.0.0.1", about: "address to listen on; 0.0.0.0 in production",
			binding: into(func(c *Config) *string { return &c.Host }, host()),
		},
		{
			name: "PORT", fallback: "8000", about: "port to listen on; 0 takes a free one",
			binding: into(func(c *Config) *int { return &c.Port }, port()),
		},
		{
			name: "OPS_ADDR", fallback: "127.0.0.1:9464", optional: true,
			about:   "address of /metrics, /livez and /readyz; 0.0.0.0:9464 in production; empty turns it off",
			binding: into(func(c *Config) *string { return &c.OpsAddr }, address()),
		},

		{
			name: "API_KEY", placeholder: "replace-me-with-the-shared-api-key", secret: true, optional: true,
			about:   "the shared key, which callers name in the apiKey claim; goes together with JWT_SECRET_KEY",
			binding: into(func(c *Config) *Secret { return &c.APIKey }, secret()),
		},
		{
			name: "JWT_SECRET_KEY", placeholder: "replace-me-with-64-random-characters", secret: true, optional: true,
			about:   "HMAC secret of the shared key; in production at least as long as its hash: 32, 48 or 64 bytes",
			binding: into(func(c *Config) *Secret { return &c.JWTSecretKey }, secret()),
		},
		{
			name: "JWT_SECRET_KEY_PREVIOUS", secret: true, optional: true,
			about:   "HMAC secret that was replaced: it still verifies, nothing is signed with it",
			binding: into(func(c *Config) *Secret { return &c.JWTSecretKeyPrevious }, secret()),
		},
		{
			name: "JWT_ALGORITHM", fallback: "HS256", about: "algorithm of the shared key: HS256, HS384 or HS512",
			binding: into(func(c *Config) *string { return &c.JWTAlgorithm }, oneOf("HS256", "HS384", "HS512")),
		},
		{
			name: "JWT_AUDIENCE", fallback: "latchkey-api", about: "what the aud claim must be, or hold as a member",
			binding: into(func(c *Config) *string { return &c.JWTAudience }, plain()),
		},
		{
			name: "JWT_REQUIRE_AUDIENCE", fallback: "true",
			about:   "false accepts a token without aud, as older clients send; one that is there must still match",
			binding: into(func(c *Config) *bool { return &c.JWTRequireAudience }, truth()),
		},
		{
			name: "JWT_LEEWAY", fallback: "30s", about: "how far the clocks of callers may be off; at most 2m",
			binding: into(func(c *Config) *time.Duration { return &c.JWTLeeway }, duration("a duration from 0s to 2m", 0, 2*time.Minute)),
		},
		{
			name: "JWT_TTL", fallback: "5m", about: "how long a token lasts that latchkey token makes",
			binding: into(func(c *Config) *time.Duration { return &c.JWTTTL }, lifetime()),
		},
		{
			name: "JWT_MAX_LIFETIME", fallback: "1h", about: "the longest lifetime of a token that is accepted",
			binding: into(func(c *Config) *time.Duration { return &c.JWTMaxLifetime }, lifetime()),
		},

		// The base64 of "replace-me-with-32-random-bytes!".
		{
			name: "MASTER_KEY", placeholder: "cmVwbGFjZS1tZS13aXRoLTMyLXJhbmRvbS1ieXRlcyE=", secret: true, optional: true,
			about:   "seals the HS256 keys of clients in the store: 32 random bytes in base64",
			binding: into(func(c *Config) *Secret { return &c.MasterKey }, masterKey()),
		},
		{
			name: "MASTER_KEY_PREVIOUS", secret: true, optional: true,
			about:   "master key that was replaced: it still opens, nothing is sealed with it",
			binding: into(func(c *Config) *Secret { return &c.MasterKeyPrevious }, masterKey()),
		},

		// Not marked secret: it has a flag, and listings mask only the password.
		{
			name: nameDatabaseURL, fallback: "sqlite:data/latchkey.db", about: "sqlite:<path> or postgres://user:password@host/name",
			binding: into(func(c *Config) *Secret { return &c.DatabaseURL }, databaseURL()),
		},

		{
			name: "LOG_LEVEL", fallback: "info", about: "debug, info, warn or error",
			binding: into(func(c *Config) *slog.Level { return &c.LogLevel }, logLevel()),
		},
		{
			name: "LOG_FORMAT", fallback: "json", about: "json or text; text in development",
			binding: into(func(c *Config) *string { return &c.LogFormat }, oneOf("json", "text")),
		},
		{
			name: "ACCESS_LOG", fallback: "true", about: "one log line for each request",
			binding: into(func(c *Config) *bool { return &c.AccessLog }, truth()),
		},

		{
			name: "REQUEST_TIMEOUT", fallback: "5s", about: "longest time for one request",
			binding: into(func(c *Config) *time.Duration { return &c.RequestTimeout }, timeout()),
		},
		{
			name: "SHUTDOWN_TIMEOUT", fallback: "10s", about: "longest wait for open requests at a stop, after DRAIN_DELAY",
			binding: into(func(c *Config) *time.Duration { return &c.ShutdownTimeout }, timeout()),
		},
		{
			name: "DRAIN_DELAY", fallback: "0s", about: "how long a stopping server goes on accepting, unready; 2s in production",
			binding: into(func(c *Config) *time.Duration { return &c.DrainDelay }, delay()),
		},
		{
			name: "IDLE_TIMEOUT", fallback: "75s",
			about:   "how long a connection may wait for its next request; longer than a balancer keeps one (60 s)",
			binding: into(func(c *Config) *time.Duration { return &c.IdleTimeout }, timeout()),
		},

		{
			name: "TLS_CERT_FILE", optional: true, about: "certificate (PEM) to serve HTTPS itself; read again when its content changes, and at SIGHUP",
			binding: into(func(c *Config) *string { return &c.TLSCertFile }, plain()),
		},
		{
			name: "TLS_KEY_FILE", optional: true, about: "private key (PEM) of TLS_CERT_FILE",
			binding: into(func(c *Config) *string { return &c.TLSKeyFile }, plain()),
		},

		{
			name: "TRUSTED_PROXIES", optional: true, list: true,
			about:   "addresses and networks whose X-Forwarded-For is believed, separated by commas",
			binding: into(func(c *Config) *[]netip.Prefix { return &c.TrustedProxies }, networks()),
		},
		{
			name: "CORS_ORIGINS", optional: true, list: true,
			about:   "origins whose pages may call the service, like https://app.example.org, separated by commas",
			binding: into(func(c *Config) *[]string { return &c.CORSOrigins }, origins()),
		},
		{
			name: "DOCS_ENABLED", fallback: "true", about: "serves /docs and /openapi.json",
			binding: into(func(c *Config) *bool { return &c.DocsEnabled }, truth()),
		},
		{
			name: "DEMO_DATA", fallback: "false", about: "inserts the demo rows that are absent; true in development",
			binding: into(func(c *Config) *bool { return &c.DemoData }, truth()),
		},

		{
			name: "TOKEN_CACHE_SIZE", fallback: "50000", about: "how many verified tokens are remembered; 0 turns that off, with the same answers",
			binding: into(func(c *Config) *int { return &c.TokenCacheSize }, cacheSize()),
		},
		{
			name: "AUDIT_RETENTION", fallback: "8760h", about: "how long rows of the audit are kept",
			binding: into(func(c *Config) *time.Duration { return &c.AuditRetention }, lifetime()),
		},
		{
			name: "OTEL_EXPORTER_OTLP_ENDPOINT", optional: true, about: "where traces are sent, like http://collector:4318; empty turns them off",
			binding: into(func(c *Config) *string { return &c.OTLPEndpoint }, endpoint()),
		},
	}
}

// key is the setting's name in YAML.
func (s setting) key() string { return strings.ToLower(s.name) }

// fileVariable is the variable for a file with the setting's value. A setting that is a path has none.
func (s setting) fileVariable() (string, bool) {
	return s.name + "_FILE", !strings.HasSuffix(s.name, "_FILE")
}

// flagName is the setting's name on the command line.
func flagName(name string) string {
	return "--" + strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

// listed is the setting for listings, with secrets masked.
func (s setting) listed(g given) Setting {
	value := g.text
	switch {
	case s.secret && value != "":
		value = redacted
	case s.name == nameDatabaseURL:
		value = maskPassword(value)
	}
	return Setting{Name: s.name, Description: s.about, Secret: s.secret, Value: value, Layer: g.layer}
}
