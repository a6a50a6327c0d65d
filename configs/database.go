package configs

import (
	"net/url"
	"strings"
)

const nameDatabaseURL = "DATABASE_URL"

// databaseURL checks only the form. A "/", "?" or "#" in a password must be percent-encoded: otherwise it would end the password,
// and the rest would be in a part that is not masked. An "@" after that part shows this.
func databaseURL() kind[Secret] {
	want := "sqlite:<path> or postgres://user:password@host/name with the special characters of the password percent-encoded"
	return kind[Secret]{want, func(s string) (Secret, bool) {
		if path, found := strings.CutPrefix(s, "sqlite:"); found {
			return NewSecret(s), path != "" && !strings.HasPrefix(path, "//")
		}
		if !isPostgres(s) {
			return Secret{}, false
		}
		u, err := url.Parse(s)
		if err != nil || strings.Contains(u.EscapedPath()+u.RawQuery+u.EscapedFragment(), "@") {
			return Secret{}, false
		}
		_, err = url.ParseQuery(u.RawQuery)
		return NewSecret(s), err == nil
	}}
}

func isPostgres(s string) bool {
	return strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://")
}

// maskPassword masks the password of a URL that databaseURL accepted, in each place where PostgreSQL accepts one.
func maskPassword(s string) string {
	if !isPostgres(s) {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return redacted
	}
	query := u.Query()
	for _, name := range []string{"password", "sslpassword"} {
		if query.Has(name) {
			query.Set(name, "xxxxx")
			u.RawQuery = query.Encode()
		}
	}
	return u.Redacted()
}
