package listener

import (
	"net/url"
	"testing"
)

func TestURLHost(t *testing.T) {
	for host, want := range map[string]string{
		"": "127.0.0.1:80", "0.0.0.0": "127.0.0.1:80", "::": "[::1]:80", "::%eth0": "[::1]:80", "0:0:0:0:0:0:0:0": "[::1]:80",
		"192.0.2.1": "192.0.2.1:80", "fe80::1%eth0": "[fe80::1%25eth0]:80", "2001:db8::1": "[2001:db8::1]:80", "api.example.org": "api.example.org:80",
	} {
		got := URLHost(host, "80")
		if u, err := url.Parse("http://" + got + "/readyz"); got != want || err != nil || u.Port() != "80" {
			t.Errorf("%q: %s, want %s: %v", host, got, want, err)
		}
	}
}
