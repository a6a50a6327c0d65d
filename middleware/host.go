package middleware

import (
	"net/netip"
	"strings"
)

// SoundHost says whether the value of a Host header is a host with or without a port, as RFC 9112, section 3.2, demands
// it of every request. None at all is refused as well, because a URL of http or https names a host (RFC 9110, section
// 4.2.1), and so are escapes, which the engine does not take.
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

// isDigits says whether text has nothing but digits; a port may be left out behind its colon.
func isDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// isRegName says whether c may stand in a name (RFC 3986, section 3.2.2, without escapes).
func isRegName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=", c) >= 0
}
