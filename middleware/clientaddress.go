package middleware

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
)

// clientAddress is the address of the client. Without a trusted proxy, it is the peer's. Otherwise X-Forwarded-For is read
// from its end: the first address that is no trusted proxy is the client's, and what is left of it may be invented. A
// member that is no address ends the search: the last address that was read counts.
func clientAddress(c *fiber.Ctx, trusted []netip.Prefix) string {
	peer, ok := netip.AddrFromSlice(c.Context().RemoteIP())
	if !ok {
		return ""
	}
	peer = peer.Unmap()
	if !containsAddr(trusted, peer) {
		return peer.String()
	}
	for _, line := range slices.Backward(c.Request().Header.PeekAll(fiber.HeaderXForwardedFor)) {
		// The string is not kept, so it may point into the request.
		rest, more := utils.UnsafeString(line), true
		for more {
			var member string
			rest, member, more = cutLast(rest)
			if member == "" { // empty members of a list do not count (RFC 9110, section 5.6.1)
				continue
			}
			hop, ok := parseHop(member)
			if !ok {
				return peer.String()
			}
			peer = hop.Unmap()
			if !containsAddr(trusted, peer) {
				return peer.String()
			}
		}
	}
	return peer.String()
}

// cutLast takes the last member off a list.
func cutLast(list string) (rest, member string, more bool) {
	comma := strings.LastIndexByte(list, ',')
	return list[:max(comma, 0)], strings.Trim(list[comma+1:], " \t"), comma >= 0
}

// parseHop reads an address with or without a port. An IPv6 address may stand in brackets. Zones are refused, because a
// zone can be any text.
func parseHop(text string) (netip.Addr, bool) {
	host, port, hasPort := text, "", false
	switch {
	case text[0] == '[':
		inner, after, closed := strings.Cut(text[1:], "]")
		port, hasPort = strings.CutPrefix(after, ":")
		if !closed || after != "" && !hasPort || !strings.Contains(inner, ":") {
			return netip.Addr{}, false
		}
		host = inner
	case strings.Count(text, ":") == 1:
		host, port, hasPort = strings.Cut(text, ":")
	}
	if hasPort {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return netip.Addr{}, false
		}
	}
	hop, err := netip.ParseAddr(host)
	return hop, err == nil && hop.Zone() == ""
}

func containsAddr(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
