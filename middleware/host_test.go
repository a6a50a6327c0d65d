package middleware

import (
	"net/http"
	"net/url"
	"testing"
)

func TestSoundHost(t *testing.T) {
	for host, want := range map[string]bool{
		"latchkey.example": true, "latchkey.example:8000": true, "h:": true, "127.0.0.1": true, "a_b": true, "a,b": true, "X~1": true,
		"[::1]": true, "[::1]:80": true, "[::1]:": true, "[::ffff:1.2.3.4]": true,

		"": false, " ": false, ":80": false, "a b": false, "a/b": false, "u@h": false, "u:p@h": false, "h:x": false, "h:80:80": false,
		"::1": false, "[": false, "[]": false, "[::1": false, "[::1]x": false, "[::1]80": false, "[::1%25eth0]": false, "[1.2.3.4]": false,
		"[fe80::1%eth0]": false, "h:8 0": false, "h:-1": false, "h?x": false, "h#x": false, "a%41": false, "a%zz": false, `a"b`: false,
		"a<b>": false, `a\b`: false, "\u00e9": false, "a\x7f": false, "a[b]": false,
	} {
		if got := SoundHost(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

// FuzzSoundHost: a sound host means the same to everybody who builds a URL with it.
func FuzzSoundHost(f *testing.F) {
	for _, seed := range []string{"h", "h:80", "[::1]:80", "u@h", "", "[", "a%41"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !SoundHost(host) {
			return
		}
		u, err := url.Parse("http://" + host + "/x")
		if err != nil || u.Host != host || u.Path != "/x" || u.User != nil || u.Hostname() == "" {
			t.Errorf("%q: %v, %v", host, u, err)
		}
		if _, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	})
}
