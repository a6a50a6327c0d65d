package middleware

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// clientAddress is the peer's address, or, where the peer is a trusted proxy, the last address in X-Forwarded-For that
// no trusted proxy added: everything left of it is the caller's own claim.
func clientAddress(c *fiber.Ctx, trusted []netip.Prefix) string {
	peer, ok := netip.AddrFromSlice(c.Context().RemoteIP())
	if !ok {
		return ""
	}
	peer = peer.Unmap()
	if !containsAddr(trusted, peer) {
		return peer.String()
	}
	var hops []string
	for _, line := range c.Request().Header.PeekAll(fiber.HeaderXForwardedFor) {
		hops = append(hops, strings.Split(string(line), ",")...)
	}
	for _, text := range slices.Backward(hops) {
		hop, ok := parseHop(strings.TrimSpace(text))
		if !ok {
			break
		}
		peer = hop.Unmap()
		if !containsAddr(trusted, peer) {
			break
		}
	}
	return peer.String()
}

// parseHop reads an address, with a port or without. Zones are refused: any text may stand in one.
func parseHop(text string) (netip.Addr, bool) {
	hop, err := netip.ParseAddr(text)
	if err != nil {
		withPort, portErr := netip.ParseAddrPort(text)
		hop, err = withPort.Addr(), portErr
	}
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
