package middleware

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
)

// clientAddress is the peer's address, or, where the peer is a trusted proxy, the last address in X-Forwarded-For that
// no trusted proxy added: everything left of it is the caller's own claim. A member that is no address ends the walk.
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
		// Only as long as the request is there, and so is this walk.
		rest, more := utils.UnsafeString(line), true
		for more {
			var member string
			rest, member, more = cutLast(rest)
			if member == "" { // RFC 9110 5.6.1: an empty member of a list does not count
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

// parseHop reads an address, with or without brackets where it is IPv6, and with a port or without. Zones are refused:
// any text may stand in one.
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
