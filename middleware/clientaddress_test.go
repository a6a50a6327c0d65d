package middleware

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/32"), netip.MustParsePrefix("2001:db8:f::/48")}
	tests := []struct {
		name      string
		trusted   []netip.Prefix
		forwarded []string
		want      string
	}{
		{"nobody is trusted", nil, []string{"1.2.3.4"}, "0.0.0.0"},
		{"no header", trusted, nil, "0.0.0.0"},
		{"the proxy's client", trusted, []string{"1.2.3.4"}, "1.2.3.4"},
		{"what the client wrote does not count", trusted, []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
		{"behind two proxies", trusted, []string{"6.6.6.6, 1.2.3.4, 10.1.1.1"}, "1.2.3.4"},
		{"in two lines", trusted, []string{"6.6.6.6", "1.2.3.4, 10.1.1.1"}, "1.2.3.4"},
		{"one line each", trusted, []string{"6.6.6.6", "1.2.3.4", "10.1.1.1"}, "1.2.3.4"},
		{"garbage ends the search", trusted, []string{"1.2.3.4, <script>, 10.1.1.1"}, "10.1.1.1"},
		{"unknown is no address", trusted, []string{"1.2.3.4, unknown, 10.1.1.1"}, "10.1.1.1"},
		{"only proxies", trusted, []string{"10.2.2.2, 10.1.1.1"}, "10.2.2.2"},

		{"an empty line", trusted, []string{""}, "0.0.0.0"},
		{"nothing but empty members", trusted, []string{",", " ,\t, "}, "0.0.0.0"},
		{"an empty member at the end", trusted, []string{"1.2.3.4,"}, "1.2.3.4"},
		{"empty members between", trusted, []string{"6.6.6.6, 1.2.3.4,, \t,10.1.1.1 , "}, "1.2.3.4"},
		{"an empty line between", trusted, []string{"6.6.6.6, 1.2.3.4", "", "10.1.1.1"}, "1.2.3.4"},
		{"empty members do not make the caller's claim count", trusted, []string{"6.6.6.6,,1.2.3.4,,"}, "1.2.3.4"},

		{"with a port", trusted, []string{"1.2.3.4:5678"}, "1.2.3.4"},
		{"proxies with ports", trusted, []string{"6.6.6.6:1, 1.2.3.4:2, 10.1.1.1:3"}, "1.2.3.4"},
		{"an impossible port", trusted, []string{"1.2.3.4, 10.1.1.1:99999"}, "0.0.0.0"},
		{"IPv6", trusted, []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets", trusted, []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 with a port", trusted, []string{"[2001:db8::1]:5678"}, "2001:db8::1"},
		{"proxies in brackets", trusted, []string{"6.6.6.6, [2001:db8::1], [2001:db8:f::2], [2001:db8:f::3]:443"}, "2001:db8::1"},
		{"IPv4 in IPv6, in brackets", trusted, []string{"1.2.3.4, [::ffff:10.1.1.1]"}, "1.2.3.4"},
		{"an open bracket", trusted, []string{"1.2.3.4, [2001:db8:f::2"}, "0.0.0.0"},
		{"a bracket too many", trusted, []string{"1.2.3.4, [[2001:db8:f::2]]"}, "0.0.0.0"},
		{"IPv4 in brackets", trusted, []string{"1.2.3.4, [10.1.1.1]"}, "0.0.0.0"},
		{"empty brackets", trusted, []string{"1.2.3.4, []"}, "0.0.0.0"},
		{"a zone can hold any text", trusted, []string{`fe80::1%<script>" x=y`}, "0.0.0.0"},
		{"a zone in brackets", trusted, []string{`[fe80::1%<script>" x=y]`}, "0.0.0.0"},
		{"a zone with a port", trusted, []string{`[fe80::1%<script>]:80`}, "0.0.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			app := service(t, &log, func(o *Options) { o.TrustedProxies = tt.trusted })
			var header []string
			for _, line := range tt.forwarded {
				header = append(header, "X-Forwarded-For", line)
			}
			send(t, app, "GET", "/good", header...)
			if got := lines(t, &log, "request"); len(got) != 1 || got[0]["address"] != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

// TestClientAddressOfALongHeaderCostsNoMore: the header may hold thousands of members, and every one is the caller's choice.
func TestClientAddressOfALongHeaderCostsNoMore(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	app := fiber.New()
	allocations := func(forwarded string) float64 {
		var request fasthttp.RequestCtx
		request.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, nil)
		request.Request.Header.Set(fiber.HeaderXForwardedFor, forwarded)
		c := app.AcquireCtx(&request)
		defer app.ReleaseCtx(c)
		if got := clientAddress(c, trusted); got != "1.2.3.4" {
			t.Fatalf("%.40s...: %s", forwarded, got)
		}
		return testing.AllocsPerRun(100, func() { clientAddress(c, trusted) })
	}
	short := allocations("1.2.3.4")
	for what, forwarded := range map[string]string{
		"claims of the caller": strings.Repeat("6.6.6.6,", 1500) + "1.2.3.4",
		"proxies":              "1.2.3.4" + strings.Repeat(", 10.1.1.1", 1500),
		"proxies with ports":   "1.2.3.4:1" + strings.Repeat(", 10.1.1.1:65535", 1000),
		"proxies in brackets":  "1.2.3.4" + strings.Repeat(", [::ffff:10.1.1.1]:443", 700),
		"empty members":        "1.2.3.4" + strings.Repeat(",", 15000),
		"garbage":              strings.Repeat("x,", 5000) + "1.2.3.4",
	} {
		if long := allocations(forwarded); long > short {
			t.Errorf("%s: %v allocations, and %v for a single address", what, long, short)
		}
	}
}

// FuzzClientAddress: whatever stands in the header, what is logged and limited by is an address, and no text of a caller.
func FuzzClientAddress(f *testing.F) {
	for _, seed := range []string{"1.2.3.4", "[::1]:80, 10.1.1.1", ",,10.1.1.1:1 ,", "fe80::1%x", "[]:", ":", "["} {
		f.Add(seed)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	app := fiber.New()
	f.Fuzz(func(t *testing.T, forwarded string) {
		var request fasthttp.RequestCtx
		request.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, nil)
		request.Request.Header.Set(fiber.HeaderXForwardedFor, forwarded)
		c := app.AcquireCtx(&request)
		defer app.ReleaseCtx(c)
		got := clientAddress(c, trusted)
		if a, err := netip.ParseAddr(got); err != nil || a.Zone() != "" || a.String() != got || a.Is4In6() {
			t.Errorf("%q gave %q", forwarded, got)
		}
	})
}
