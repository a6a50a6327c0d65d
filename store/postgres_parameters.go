package store

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Remarks are sentences for an operator about parameters of the URL that have no effect. They have names, no values. It opens
// nothing.
func (o Options) Remarks() []string {
	if !isPostgres(o.URL) {
		return nil
	}
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil
	}
	ignored, err := applyParameters(config.ConnConfig)
	if err != nil {
		return nil
	}
	if encoding, given := config.ConnConfig.RuntimeParams["client_encoding"]; given && !strings.EqualFold(encoding, "utf8") {
		ignored = append(ignored, "client_encoding")
	}
	if config.ConnConfig.ConnectTimeout > postgresTimeout {
		ignored = append(ignored, "connect_timeout")
	}
	if u, err := url.Parse(o.URL); err == nil {
		for name := range u.Query() {
			if strings.HasPrefix(name, "pool_") {
				ignored = append(ignored, name)
			}
		}
	}
	if len(ignored) == 0 {
		return nil
	}
	slices.Sort(ignored)
	return []string{"parameters of DATABASE_URL that are ignored, because they concern PostgreSQL's own client library, " +
		"or this service settles them: " + strings.Join(ignored, ", ")}
}

// applyParameters handles parameters of libpq that the driver does not know, from the URL or a service file. The driver would
// send them to the server, which does not know them either. It removes and names those that only concern libpq. It refuses those
// that restrict access, because they must not be ignored.
func applyParameters(config *pgx.ConnConfig) (ignored []string, err error) {
	parameters := config.RuntimeParams
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		what, why := applyParameter(config, name, parameters[name])
		if what == others {
			continue
		}
		// An empty value counts as none.
		if parameters[name] != "" {
			switch what {
			case refused:
				return nil, fmt.Errorf("DATABASE_URL: the parameter %s %s", name, why)
			case dropped:
				ignored = append(ignored, name)
			case others, applied:
			}
		}
		delete(parameters, name)
	}
	return ignored, nil
}

// handling is how a parameter is handled.
type handling int

const (
	others handling = iota // a parameter of the server
	applied
	dropped
	refused
)

const notSupported = "is not supported"

// applyParameter applies one parameter if it can. why completes "the parameter x ".
func applyParameter(config *pgx.ConnConfig, name, value string) (what handling, why string) {
	switch name {
	case "gssdelegation", "gsslib", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
		"load_balance_hosts", "sslcompression", "sslkeylogfile", "tcp_user_timeout":
		return dropped, ""
	case "oauth_client_id", "oauth_client_secret", "oauth_issuer", "oauth_scope", "requirepeer",
		"scram_client_key", "scram_server_key", "sslcrl", "sslcrldir":
		return refused, notSupported
	case "hostaddr":
		return refused, notSupported + ": give the address as the host"
	case "gssencmode":
		if value == "require" {
			return refused, "is require, and there is no GSSAPI encryption here: use sslmode"
		}
		return dropped, ""
	case "replication":
		if !slices.Contains([]string{"false", "off", "no", "0"}, value) {
			return refused, "asks for a replication connection, which is not supported"
		}
		return applied, ""
	case "requiressl": // the name that sslmode=require had before PostgreSQL 8
		if value == "0" {
			return dropped, ""
		}
		if mayLackTLS(config) {
			return refused, "is obsolete: use sslmode=require"
		}
		return applied, ""
	case "ssl_min_protocol_version":
		return minTLS(config, value)
	case "ssl_max_protocol_version":
		if value != "TLSv1.3" {
			return refused, notSupported
		}
		return applied, ""
	case "fallback_application_name":
		if config.RuntimeParams["application_name"] == "" && value != "" {
			config.RuntimeParams["application_name"] = value
		}
		return applied, ""
	default:
		return others, ""
	}
}

// mayLackTLS reports whether a connection over a network may be without TLS.
func mayLackTLS(config *pgx.ConnConfig) bool {
	over := func(host string, port uint16, settings *tls.Config) bool {
		network, _ := pgconn.NetworkAddress(host, port)
		return network != "unix" && settings == nil
	}
	return over(config.Host, config.Port, config.TLSConfig) || slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return over(f.Host, f.Port, f.TLSConfig)
	})
}

// minTLS sets the lowest version of TLS; the default is TLS 1.2.
func minTLS(config *pgx.ConnConfig, value string) (handling, string) {
	switch value {
	case "TLSv1", "TLSv1.1", "TLSv1.2":
		return applied, ""
	case "TLSv1.3":
	default:
		return refused, "must be TLSv1.2 or TLSv1.3"
	}
	all := []*tls.Config{config.TLSConfig}
	for _, other := range config.Fallbacks {
		all = append(all, other.TLSConfig)
	}
	for _, settings := range all {
		if settings != nil {
			settings.MinVersion = tls.VersionTLS13
		}
	}
	return applied, ""
}

// parseFault is a sentence about a URL that the driver cannot read. If the URL can be read without one of its parameters, it names
// that one.
func parseFault(storeURL string) error {
	if u, err := url.Parse(storeURL); err == nil {
		for name := range u.Query() {
			rest := u.Query()
			rest.Del(name)
			other := *u
			other.RawQuery = strings.ReplaceAll(rest.Encode(), "+", "%20") // a + is one, for the driver
			if _, err := pgxpool.ParseConfig(other.String()); err == nil {
				return fmt.Errorf("DATABASE_URL: the parameter %s has an invalid value", name)
			}
		}
	}
	return errors.New("DATABASE_URL must be postgres://user:password@host:port/name, with parameters that PostgreSQL knows; " +
		"so must be the variables of its client library, such as PGSSLMODE")
}
