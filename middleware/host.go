package middleware

import (
	"net/netip"
	"strings"
)

// SoundHost reports whether the value of a Host header is a host with or without a port (RFC 9112, section 3.2). It is
// false for an empty value, because a URL of http or https names a host (RFC 9110, section 4.2.1), and for escapes, which
// the engine cannot read.
func SoundHost(value string) bool {
	if strings.HasPrefix(value, "[") {
		inner, after, closed := strings.Cut(value[1:], "]")
		address, err := netip.ParseAddr(inner)
		if !closed || err != nil || !address.Is6() || address.Zone() != "" {
			return false
		}
		port, hasPort := strings.CutPrefix(after, ":")
		return after == "" || hasPort && isDigits(port)
	}
	host, port, _ := strings.Cut(value, ":")
	for i := range len(host) {
		if !isRegName(host[i]) {
			return false
		}
	}
	return host != "" && isDigits(port)
}

// isDigits reports whether text has only digits. It may be empty, like a port behind its colon.
func isDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// isRegName reports whether c may be part of a name (RFC 3986, section 3.2.2, without escapes).
func isRegName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=", c) >= 0
}
