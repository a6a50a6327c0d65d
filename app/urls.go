package app

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
)

// reachable is an address under which a listener can be called from this machine, as URLs have it. host is the one it was
// asked to listen on: of a listener on every address, the system tells only that.
func reachable(host string, listening net.Addr) string {
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	return urlHost(host, port)
}

// urlHost is how a URL names the server that listens on host.
func urlHost(host, port string) string {
	// In a URL the sign of a zone is escaped (RFC 6874).
	return net.JoinHostPort(strings.ReplaceAll(orLoopback(host), "%", "%25"), port)
}

// orLoopback is host, or the loopback address for a wildcard.
func orLoopback(host string) string {
	address, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && address.Unmap() == netip.IPv4Unspecified():
		return "127.0.0.1"
	case err == nil && address.WithZone("") == netip.IPv6Unspecified():
		return "::1"
	default:
		return host
	}
}

// certifiedHost is host, or localhost where that leads here, too, and the certificate is for that name alone: whoever
// trusts the certificate can then call the URL as it is printed.
func certifiedHost(host string, settings *tls.Config) string {
	here := orLoopback(host)
	address, err := netip.ParseAddr(here)
	if err != nil || !address.IsLoopback() {
		return host
	}
	certificate, err := settings.GetCertificate(nil)
	if err != nil || certificate.Leaf == nil || certificate.Leaf.VerifyHostname(here) == nil ||
		certificate.Leaf.VerifyHostname("localhost") != nil {
		return host
	}
	return "localhost"
}
