// Package configs says what may be configured and whether it is sane. It is the only package that reads the
// environment; everybody else is handed a Config.
//
// The settings are one table (settings.go). Load takes their values from the layers, later ones winning: built-in
// defaults, the embedded <APP_ENV>.yaml, the file in CONFIG_FILE, .env (in development), the environment, flags.
package configs

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// Environment is where the service runs. The store remembers which one it was made for.
type Environment string

// The two environments. Production refuses more (see Config.Validate) and never reads or writes .env.
const (
	Development Environment = "development"
	Production  Environment = "production"
)

// Config is the effective value of every setting; the table in settings.go says what each means.
type Config struct {
	AppEnv  Environment
	Host    string
	Port    int
	OpsAddr string

	APIKey               Secret
	JWTSecretKey         Secret
	JWTSecretKeyPrevious Secret
	JWTAlgorithm         string
	JWTAudience          string
	JWTRequireAudience   bool
	JWTLeeway            time.Duration
	JWTTTL               time.Duration
	JWTMaxLifetime       time.Duration

	// The master keys are the base64 text of 32 bytes.
	MasterKey         Secret
	MasterKeyPrevious Secret

	// DatabaseURL starts with "sqlite:", "postgres://" or "postgresql://". It is a Secret because it may hold a password.
	DatabaseURL Secret

	LogLevel  slog.Level
	LogFormat string
	AccessLog bool

	RequestTimeout  time.Duration
	ShutdownTimeout time.Duration
	DrainDelay      time.Duration
	IdleTimeout     time.Duration

	TLSCertFile string
	TLSKeyFile  string

	// TrustedProxies are masked; an address stands as a network of its own.
	TrustedProxies []netip.Prefix
	// CORSOrigins are spelled as browsers send them: lower case, without the scheme's own port.
	CORSOrigins []string
	DocsEnabled bool
	DemoData    bool

	// TokenCacheSize is how many verified tokens are remembered; 0 for none.
	TokenCacheSize int
	AuditRetention time.Duration
	OTLPEndpoint   string
}

// Problems is everything that is wrong with a configuration, one plain sentence each. No sentence holds a value.
type Problems []string //nolint:errname // it is a list before it is an error

// Error is the sentences, one a line.
func (p Problems) Error() string { return strings.Join(p, "\n") }

// asError is nil where there is nothing wrong, which a Problems in an error would not be.
func (p Problems) asError() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Setting is one setting, for listings and for the command line.
type Setting struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	// Secret settings have no flag.
	Secret bool `json:"secret"`
	// Value is the effective value as it was written, or the default; secrets and passwords are masked.
	Value string `json:"value"`
	// Layer is where the value comes from: "default", "configs/production.yaml:3", ".env:4", "environment PORT",
	// "environment API_KEY_FILE" or "flag --port".
	Layer string `json:"layer"`
	// Ignored is a name in .env that is no setting of ours; its value is never given.
	Ignored bool `json:"ignored,omitempty"`
}

// Names lists every setting in the order of the table, with its built-in default.
func Names() []Setting {
	var list []Setting
	for _, s := range settings() {
		list = append(list, s.listed(given{s.fallback, layerDefault}))
	}
	return list
}
