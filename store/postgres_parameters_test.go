package store_test

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/store"
)

// TestPostgresParameters has every parameter of PostgreSQL's own client library: it works, it is ignored and that is
// said, or the URL is refused with its name.
func TestPostgresParameters(t *testing.T) {
	t.Parallel()
	good := newDatabase(t)
	const works, ignored, refused = "works", "ignored", "refused"
	rows := []struct{ parameter, is string }{
		{"application_name=x", works},
		{"channel_binding=prefer", works},
		{"channel_binding=sometimes", refused},
		{"client_encoding=UTF8", works},
		{"client_encoding=latin1", ignored},
		{"connect_timeout=1", works},
		{"connect_timeout=30", ignored},
		{"connect_timeout=soon", refused},
		{"fallback_application_name=x", works},
		{"gssdelegation=1", ignored},
		{"gssencmode=disable", ignored},
		{"gssencmode=prefer", ignored},
		{"gssencmode=require", refused},
		{"gsslib=gssapi", ignored},
		{"hostaddr=127.0.0.1", refused},
		{"keepalives=1", ignored},
		{"keepalives_count=3", ignored},
		{"keepalives_idle=30", ignored},
		{"keepalives_interval=10", ignored},
		{"keepalives_idle=", works},
		{"krbsrvname=postgres", works},
		{"load_balance_hosts=random", ignored},
		{"max_protocol_version=3.0", works},
		{"max_protocol_version=9", refused},
		{"min_protocol_version=3.0", works},
		{"oauth_client_id=x", refused},
		{"oauth_client_secret=hunter2", refused},
		{"oauth_issuer=x", refused},
		{"oauth_scope=x", refused},
		{"options=-c statement_timeout=5s", works},
		{"passfile=/absent", works},
		{"replication=database", refused},
		{"replication=false", works},
		{"require_auth=!none", ""}, // the test server may trust
		{"require_auth=hunter2", refused},
		{"requirepeer=postgres", refused},
		{"requiressl=0", ignored},
		{"requiressl=1", refused},
		{"scram_client_key=hunter2", refused},
		{"scram_server_key=hunter2", refused},
		{"ssl_max_protocol_version=TLSv1.2", refused},
		{"ssl_max_protocol_version=TLSv1.3", works},
		{"ssl_min_protocol_version=SSLv3", refused},
		{"ssl_min_protocol_version=TLSv1.2", works},
		{"ssl_min_protocol_version=TLSv1.3", works},
		{"sslcertmode=allow", works},
		{"sslcertmode=hunter2", refused},
		{"sslcompression=0", ignored},
		{"sslcrl=/absent", refused},
		{"sslcrl=", works},
		{"sslcrldir=/absent", refused},
		{"sslkeylogfile=/absent", ignored},
		{"sslnegotiation=postgres", works},
		{"sslsni=1", works},
		{"target_session_attrs=any", works},
		{"target_session_attrs=primary", works},
		{"target_session_attrs=read-write", works},
		{"target_session_attrs=hunter2", refused},
		{"tcp_user_timeout=1000", ignored},

		// What other libraries have, and settings of the server.
		{"pool_max_conns=3", ignored},
		{"pool_max_conns=many", refused},
		{"timezone=Europe/Berlin", works},
		{"work_mem=8MB", works},
		{"schema=public", refused},
		{"pgbouncer=true", refused},
		{"connection_limit=5", refused},
	}
	for _, row := range rows {
		t.Run(row.parameter, func(t *testing.T) {
			name, value, _ := strings.Cut(row.parameter, "=")
			u, err := url.Parse(good)
			if err != nil {
				t.Fatal(err)
			}
			query := u.Query()
			query.Set(name, value)
			u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
			o := store.Options{URL: u.String(), Environment: "development"}
			remarks := strings.Join(o.Remarks(), "\n")
			s, err := store.Open(t.Context(), o)
			if s != nil {
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
				closeNow(t, s)
			}
			switch row.is {
			case works:
				if err != nil || remarks != "" {
					t.Errorf("%v; remarks: %s", err, remarks)
				}
			case ignored:
				if err != nil || !strings.HasSuffix(remarks, ": "+name) {
					t.Errorf("%v; remarks: %s", err, remarks)
				}
			case refused:
				isSentence(t, err, name)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") || strings.Contains(remarks, "hunter2") {
				t.Errorf("a value is shown: %v; remarks: %s", err, remarks)
			}
		})
	}
}

func TestPostgresParametersThatAreIgnoredAreSaidTogether(t *testing.T) {
	o := store.Options{URL: "postgres://u:hunter2@h/d?sslmode=disable&keepalives=1&tcp_user_timeout=9&pool_max_conns=3&application_name=x"}
	want := []string{"keepalives", "pool_max_conns", "tcp_user_timeout"}
	got := o.Remarks()
	if len(got) != 1 || !strings.HasSuffix(got[0], ": "+strings.Join(want, ", ")) {
		t.Errorf("remarks %q", got)
	}
	for _, url := range []string{"postgres://u@h/d?sslmode=disable", "sqlite:x?keepalives=1", "postgres://u@h/d?sslmode=nonsense"} {
		if got := (store.Options{URL: url}).Remarks(); len(got) != 0 {
			t.Errorf("%s: %q", url, got)
		}
	}
}

// A service file has the same parameters as a URL.
func TestPostgresParametersOfAServiceFile(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "services")
	open := func(line string) error {
		if err := os.WriteFile(file, []byte("[latchkey]\n"+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		with := *u
		with.RawQuery += "&service=latchkey&servicefile=" + url.QueryEscape(file)
		o := store.Options{URL: with.String(), Environment: "development"}
		if name, _, _ := strings.Cut(line, "="); !slices.Contains([]string{"sslcrl"}, name) && len(o.Remarks()) != 1 {
			t.Errorf("%s: remarks %q", line, o.Remarks())
		}
		s, err := store.Open(t.Context(), o)
		if s != nil {
			closeNow(t, s)
		}
		return err
	}
	if err := open("keepalives_idle=30"); err != nil {
		t.Error(err)
	}
	isSentence(t, open("sslcrl=/absent"), "sslcrl")
}
