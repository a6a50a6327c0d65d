// Package configs has the settings, and checks them. Only this package reads the environment; all others get a Config.
//
// The settings are one table (settings.go). Load reads their values from these layers. Later layers win:
//  1. the built-in defaults
//  2. the embedded <APP_ENV>.yaml
//  3. the file in CONFIG_FILE
//  4. .env, in development
//  5. the environment
//  6. flags
package configs

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// Environment is development or production. A store remembers its own.
type Environment string

// The environments. Production refuses more (see Config.Validate), and neither reads nor writes .env.
const (
	Development Environment = "development"
	Production  Environment = "production"
)

// Config has the effective value of every setting. The table in settings.go explains them.
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

	// The master keys are 32 bytes in base64.
	MasterKey         Secret
	MasterKeyPrevious Secret

	// DatabaseURL begins with "sqlite:", "postgres://" or "postgresql://". It is a Secret because it may have a password.
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

	// TrustedProxies are networks without host bits; an address is a network of its own.
	TrustedProxies []netip.Prefix
	// CORSOrigins are written as browsers send them: lower case, without the scheme's default port.
	CORSOrigins []string
	DocsEnabled bool
	DemoData    bool

	// TokenCacheSize is the number of verified tokens in the cache; 0 for no cache.
	TokenCacheSize int
	AuditRetention time.Duration
	OTLPEndpoint   string
}

// Problems are all faults of a configuration, a plain sentence each. No sentence has a value.
type Problems []string //nolint:errname // it is used as a list, too

// Error is the sentences, one a line.
func (p Problems) Error() string { return strings.Join(p, "\n") }

// asError is nil without problems. An empty Problems in an error would not be nil.
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
	// Value is the effective value as it was written, or the default. Secrets and passwords are masked.
	Value string `json:"value"`
	// Layer is the source of the value: "default", "configs/production.yaml:3", ".env:4", "environment PORT",
	// "environment API_KEY_FILE" or "flag --port".
	Layer string `json:"layer"`
	// Ignored is a name in .env that is no setting of ours. Its value is left out.
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
