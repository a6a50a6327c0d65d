package listener

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Reachable is an address under which a listener can be called from this machine, as URLs have it. host is the one it was
// asked to listen on: of a listener on every address, the system tells only that.
func Reachable(host string, listening net.Addr) string {
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	return URLHost(host, port)
}

// URLHost is how a URL names the server that listens on host.
func URLHost(host, port string) string {
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

// CertifiedHost is host, or localhost where that leads here, too, and the certificate is for that name alone: whoever
// trusts the certificate can then call the URL as it is printed.
func CertifiedHost(host string, settings *tls.Config) string {
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

// Reason is the cause in an error of the network, without the call and the address around it, for sentences that name
// both.
func Reason(err error) error {
	if around, ok := errors.AsType[*url.Error](err); ok {
		err = around.Err
	}
	if around, ok := errors.AsType[*net.OpError](err); ok {
		err = around.Err
	}
	return err
}
