package configs

import (
	"encoding/base64"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind parses the values of a setting. Its only error is want: the error of a parser would show the value.
type kind[T any] struct {
	want  string
	parse func(text string) (T, bool)
}

func plain() kind[string] {
	return kind[string]{"a text", func(s string) (string, bool) { return s, true }}
}

func secret() kind[Secret] {
	return kind[Secret]{"a text", func(s string) (Secret, bool) { return NewSecret(s), true }}
}

func oneOf(values ...string) kind[string] {
	last := len(values) - 1
	want := strings.Join(values[:last], ", ") + " or " + values[last]
	return kind[string]{want, func(s string) (string, bool) { return s, slices.Contains(values, s) }}
}

func environment() kind[Environment] {
	names := oneOf(string(Development), string(Production))
	return kind[Environment]{names.want, func(s string) (Environment, bool) {
		name, ok := names.parse(s)
		return Environment(name), ok
	}}
}

func truth() kind[bool] {
	return kind[bool]{"true or false", func(s string) (bool, bool) {
		b, err := strconv.ParseBool(s)
		return b, err == nil
	}}
}

func port() kind[int] {
	return kind[int]{"a whole number from 0 to 65535", func(s string) (int, bool) {
		n, err := strconv.ParseUint(s, 10, 16)
		return int(n), err == nil
	}}
}

func cacheSize() kind[int] {
	return kind[int]{"a whole number from 0 to 1000000", func(s string) (int, bool) {
		n, err := strconv.ParseUint(s, 10, 32)
		return int(n), err == nil && n <= 1_000_000
	}}
}

// duration reads Go's syntax, such as 1m30s, from least to most.
func duration(want string, least, most time.Duration) kind[time.Duration] {
	return kind[time.Duration]{want, func(s string) (time.Duration, bool) {
		d, err := time.ParseDuration(s)
		return d, err == nil && d >= least && d <= most
	}}
}

// lifetime is at least a second, because times in a token are whole seconds.
func lifetime() kind[time.Duration] {
	return duration("a duration of at least 1s, like 90s or 1h30m", time.Second, math.MaxInt64)
}

func timeout() kind[time.Duration] {
	return duration("a duration of more than 0s, like 500ms or 1m30s", 1, math.MaxInt64)
}

func delay() kind[time.Duration] {
	return duration("a duration of 0s or more, like 500ms or 1m30s", 0, math.MaxInt64)
}

func logLevel() kind[slog.Level] {
	names := oneOf("debug", "info", "warn", "error")
	return kind[slog.Level]{names.want, func(s string) (slog.Level, bool) {
		var level slog.Level
		name, ok := names.parse(strings.ToLower(s))
		// slog knows more spellings than these four, such as INFO+2.
		return level, ok && level.UnmarshalText([]byte(name)) == nil
	}}
}

func host() kind[string] {
	return kind[string]{"an IP address without brackets, or a host name", func(s string) (string, bool) {
		return s, isHost(s)
	}}
}

// isHost accepts an IP address, or a name of letters, digits, hyphens and underscores between dots. If the last part is a number,
// it is a mistyped IPv4 address.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return r != '-' && r != '_' && !isAlphanumeric(r) }) {
			return false
		}
	}
	_, err := strconv.ParseUint(labels[len(labels)-1], 10, 64)
	return err != nil
}

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

// address is host:port, or :port for every interface.
func address() kind[string] {
	return kind[string]{"host:port", func(s string) (string, bool) {
		if s == "" {
			return s, true
		}
		name, number, err := net.SplitHostPort(s)
		if err != nil || name != "" && !isHost(name) {
			return s, false
		}
		_, ok := port().parse(number)
		return s, ok
	}}
}

func masterKey() kind[Secret] {
	return kind[Secret]{"exactly 32 bytes in standard base64", func(s string) (Secret, bool) {
		// Strict still allows line breaks.
		raw, err := base64.StdEncoding.Strict().DecodeString(s)
		return NewSecret(s), s == "" || err == nil && len(raw) == 32 && !strings.ContainsAny(s, "\r\n")
	}}
}

// items splits a list at its commas. "" is the empty list.
func items(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// networks refuses a network of all addresses: X-Forwarded-For from anybody would be trusted. It refuses IPv4-mapped IPv6, which
// would match no peer, or (::ffff:0:0/96) every peer.
func networks() kind[[]netip.Prefix] {
	want := "IP addresses and networks separated by commas, without * and /0, and IPv4 not written as IPv6"
	return kind[[]netip.Prefix]{want, func(s string) ([]netip.Prefix, bool) {
		var list []netip.Prefix
		for _, item := range items(s) {
			network, err := netip.ParsePrefix(item)
			if !strings.Contains(item, "/") {
				var single netip.Addr
				single, err = netip.ParseAddr(item)
				network = netip.PrefixFrom(single, single.BitLen())
				if single.Zone() != "" {
					return nil, false
				}
			}
			if err != nil || network.Bits() == 0 || network.Addr().Is4In6() {
				return nil, false
			}
			list = append(list, network.Masked())
		}
		return list, true
	}}
}

func origins() kind[[]string] {
	want := "origins like https://app.example.org separated by commas, each without a path, and no *"
	return kind[[]string]{want, func(s string) ([]string, bool) {
		var list []string
		for _, item := range items(s) {
			u, ok := webAddress(strings.ToLower(item))
			if !ok || u.Scheme+"://"+u.Host != strings.ToLower(item) {
				return nil, false
			}
			list = append(list, u.Scheme+"://"+strings.TrimSuffix(u.Host, ":"+ownPort(u.Scheme)))
		}
		return list, true
	}}
}

func ownPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

func endpoint() kind[string] {
	return kind[string]{"an http:// or https:// address", func(s string) (string, bool) {
		_, ok := webAddress(s)
		return s, s == "" || ok
	}}
}

// webAddress parses an http or https address that names a real host.
func webAddress(s string) (*url.URL, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" ||
		!isHost(u.Hostname()) || strings.HasSuffix(u.Host, ":") {
		return nil, false
	}
	if u.Port() != "" {
		if _, ok := port().parse(u.Port()); !ok {
			return nil, false
		}
	}
	return u, true
}
