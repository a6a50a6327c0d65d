package store

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/latchkey-api/latchkey/fault"
)

func TestPostgresErrors(t *testing.T) {
	states := map[fault.Code][]string{
		fault.Conflict: {"23505"},
		fault.Unavailable: {
			"08000", "08006", "08P01", "53000", "53100", "53200", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "57P04", "57P05",
			"58000", "58030", "40000", "40001", "40003", "40P01", "54000", "25006", "25P03", "25P04",
			"26000", "42P05",
		},
		fault.Internal: {"22021", "22P02", "23502", "23503", "23514", "25P02", "42501", "42P01", "42703", "0A000", "P0001", "XX000", "XX001"},
	}
	for want, list := range states {
		for _, state := range list {
			err := fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: state, Message: "unique 23505 57P01"})
			if got := classifyPostgres(err); got != want {
				t.Errorf("SQLSTATE %s is %v, want %v", state, got, want)
			}
		}
	}
	others := map[fault.Code][]error{
		fault.Unavailable: {
			&pgconn.PgError{Code: "0A000", Routine: "RevalidateCachedQuery"},
			io.EOF, io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, pgconn.ErrConnClosed,
			fmt.Errorf("failed: %w", &pgconn.ConnectError{}),
		},
		fault.Internal: {errors.New("sql: Scan error on column index 0"), errors.New("EOF")},
	}
	for want, list := range others {
		for _, err := range list {
			if got := classifyPostgres(err); got != want {
				t.Errorf("%v is %v, want %v", err, got, want)
			}
		}
	}
}

func TestPostgresPoolIsSetUp(t *testing.T) {
	const plain = "postgres://u:p@h/d"
	for _, storeURL := range []string{plain, plain + "?pool_max_conns=3&connect_timeout=60&pool_ping_timeout=1h"} {
		config, err := postgresConfig(storeURL)
		if err != nil {
			t.Fatal(err)
		}
		if config.MaxConns != 16 || config.ConnConfig.ConnectTimeout != postgresTimeout || config.PingTimeout >= postgresTimeout {
			t.Errorf("%d connections, %v to connect, %v for a ping", config.MaxConns, config.ConnConfig.ConnectTimeout, config.PingTimeout)
		}
		if mode := config.ConnConfig.DefaultQueryExecMode; mode != pgx.QueryExecModeCacheStatement {
			t.Errorf("queries are sent by %v", mode)
		}
	}
}

func TestPostgresParametersThatChangeTheConnection(t *testing.T) {
	const plain = "postgres://u:p@h1,h2/d?sslmode="
	config, err := postgresConfig(plain + "prefer&ssl_min_protocol_version=TLSv1.3")
	if err != nil {
		t.Fatal(err)
	}
	encrypted := 0
	all := []*tls.Config{config.ConnConfig.TLSConfig}
	for _, other := range config.ConnConfig.Fallbacks {
		all = append(all, other.TLSConfig)
	}
	for _, settings := range all {
		if settings != nil {
			encrypted++
			if settings.MinVersion != tls.VersionTLS13 {
				t.Errorf("the least version is %x", settings.MinVersion)
			}
		}
	}
	if encrypted != 2 {
		t.Errorf("%d ways to connect are encrypted", encrypted)
	}
	for mode, accepted := range map[string]bool{"disable": false, "allow": false, "prefer": false, "require": true} {
		if _, err := postgresConfig(plain + mode + "&requiressl=1"); (err == nil) != accepted {
			t.Errorf("requiressl=1 with sslmode=%s: %v", mode, err)
		}
	}
	for parameters, want := range map[string]string{
		"":                             "latchkey",
		"&fallback_application_name=x": "x",
		"&fallback_application_name=x&application_name=y": "y",
	} {
		config, err := postgresConfig(plain + "disable" + parameters)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.ConnConfig.RuntimeParams["application_name"]; got != want {
			t.Errorf("%s: application_name is %s", parameters, got)
		}
	}
}
