package listener

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Reachable is the host and port, as in a URL, by which this machine reaches a listener. host is the one that was
// configured: the address of a wildcard listener does not contain it.
func Reachable(host string, listening net.Addr) string {
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	return URLHost(host, port)
}

// URLHost is the host and port, as in a URL, of the server that listens on host.
func URLHost(host, port string) string {
	// In a URL the % before a zone is escaped (RFC 6874).
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

// CertifiedHost is host, except for a loopback address whose certificate names only localhost: then it is localhost, so
// that a client which trusts the certificate can use the printed URL.
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

// Reason is the cause of a network error, without the operation and the address, for sentences that already name them.
func Reason(err error) error {
	if around, ok := errors.AsType[*url.Error](err); ok {
		err = around.Err
	}
	if around, ok := errors.AsType[*net.OpError](err); ok {
		err = around.Err
	}
	return err
}
