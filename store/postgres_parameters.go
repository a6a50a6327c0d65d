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

// Remarks are sentences for an operator about parts of the URL that have no effect. They hold names, no values. Nothing
// is opened.
func (o Options) Remarks() []string {
	if !isPostgres(o.URL) {
		return nil
	}
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil
	}
	ignored, err := settleParameters(config.ConnConfig)
	if err != nil {
		return nil
	}
	if encoding, given := config.ConnConfig.RuntimeParams["client_encoding"]; given && !strings.EqualFold(encoding, "utf8") {
		ignored = append(ignored, "client_encoding")
	}
	if config.ConnConfig.ConnectTimeout > postgresLimit {
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

// settleParameters takes care of the parameters that PostgreSQL's own client library has and the driver does not know:
// the driver would send them to the server, which knows them no more. They come from the URL or from a service file.
// Those that only concern that library are taken out and named; those that keep somebody out must not be ignored.
func settleParameters(config *pgx.ConnConfig) (ignored []string, err error) {
	parameters := config.RuntimeParams
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		value := parameters[name]
		settle, ours := clientParameters[name]
		if !ours {
			continue
		}
		delete(parameters, name)
		if value == "" {
			continue
		}
		switch effect, why := settle(config, value); effect {
		case ignoredParameter:
			ignored = append(ignored, name)
		case refusedParameter:
			return nil, fmt.Errorf("DATABASE_URL: the parameter %s %s", name, why)
		}
	}
	return ignored, nil
}

// effect is what becomes of a parameter.
type effect int

const (
	ignoredParameter effect = iota
	refusedParameter
	settledParameter
)

// clientParameters are those parameters, each with what becomes of a value that is not empty, and why.
var clientParameters = map[string]func(config *pgx.ConnConfig, value string) (effect, string){
	"gssdelegation":             ignore,
	"gsslib":                    ignore,
	"keepalives":                ignore,
	"keepalives_count":          ignore,
	"keepalives_idle":           ignore,
	"keepalives_interval":       ignore,
	"load_balance_hosts":        ignore,
	"sslcompression":            ignore,
	"sslkeylogfile":             ignore,
	"tcp_user_timeout":          ignore,
	"gssencmode":                unless("require", "is require, and there is no GSSAPI encryption here: use sslmode"),
	"replication":               onlyIf([]string{"false", "off", "no", "0"}, "asks for a connection that only replicates"),
	"requiressl":                requireTLS,
	"fallback_application_name": nameApplication,
	"ssl_min_protocol_version":  leastTLS,
	"ssl_max_protocol_version":  onlyIf([]string{"TLSv1.3"}, "is not supported"),
	"hostaddr":                  refuse("is not supported: give the address as the host"),
	"requirepeer":               refuse("is not supported"),
	"scram_client_key":          refuse("is not supported"),
	"scram_server_key":          refuse("is not supported"),
	"sslcrl":                    refuse("is not supported"),
	"sslcrldir":                 refuse("is not supported"),
	"oauth_client_id":           refuse("is not supported"),
	"oauth_client_secret":       refuse("is not supported"),
	"oauth_issuer":              refuse("is not supported"),
	"oauth_scope":               refuse("is not supported"),
}

func ignore(*pgx.ConnConfig, string) (effect, string) { return ignoredParameter, "" }

func refuse(why string) func(*pgx.ConnConfig, string) (effect, string) {
	return func(*pgx.ConnConfig, string) (effect, string) { return refusedParameter, why }
}

func unless(bad, why string) func(*pgx.ConnConfig, string) (effect, string) {
	return func(_ *pgx.ConnConfig, value string) (effect, string) {
		if value == bad {
			return refusedParameter, why
		}
		return ignoredParameter, ""
	}
}

func onlyIf(good []string, why string) func(*pgx.ConnConfig, string) (effect, string) {
	return func(_ *pgx.ConnConfig, value string) (effect, string) {
		if slices.Contains(good, value) {
			return settledParameter, ""
		}
		return refusedParameter, why
	}
}

// requireTLS is for the name that sslmode=require had before PostgreSQL 8.
func requireTLS(config *pgx.ConnConfig, value string) (effect, string) {
	if value == "0" {
		return ignoredParameter, ""
	}
	inClear := func(host string, port uint16, settings *tls.Config) bool {
		network, _ := pgconn.NetworkAddress(host, port)
		return network != "unix" && settings == nil
	}
	clear := inClear(config.Host, config.Port, config.TLSConfig)
	for _, other := range config.Fallbacks {
		clear = clear || inClear(other.Host, other.Port, other.TLSConfig)
	}
	if clear {
		return refusedParameter, "is out of use: say sslmode=require"
	}
	return settledParameter, ""
}

func nameApplication(config *pgx.ConnConfig, value string) (effect, string) {
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = value
	}
	return settledParameter, ""
}

// leastTLS raises the least version that is spoken, which is TLS 1.2 where nothing is said.
func leastTLS(config *pgx.ConnConfig, value string) (effect, string) {
	switch value {
	case "TLSv1", "TLSv1.1", "TLSv1.2":
		return settledParameter, ""
	case "TLSv1.3":
	default:
		return refusedParameter, "must be TLSv1.2 or TLSv1.3"
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
	return settledParameter, ""
}

// parseFault is a sentence about a URL that the driver cannot read. It names the parameter that is at fault where one
// is: without it, the rest can be read.
func parseFault(storeURL string) error {
	if u, err := url.Parse(storeURL); err == nil {
		for name := range u.Query() {
			rest := u.Query()
			rest.Del(name)
			other := *u
			other.RawQuery = strings.ReplaceAll(rest.Encode(), "+", "%20") // a + is one, for the driver
			if _, err := pgxpool.ParseConfig(other.String()); err == nil {
				return fmt.Errorf("DATABASE_URL: the parameter %s has a value that it cannot have", name)
			}
		}
	}
	return errors.New("DATABASE_URL must be postgres://user:password@host:port/name, with parameters that PostgreSQL knows; " +
		"so must be the variables of its client library, such as PGSSLMODE")
}
