// Package client calls Latchkey from Go. Transport is an http.RoundTripper made from a key string: it mints short-lived
// tokens, uses each until shortly before it expires, and puts it on the requests that go to the service.
//
//	transport, err := client.New("https://api.example.com", key, client.Options{})
//	...
//	caller := &http.Client{Transport: transport, Timeout: 10 * time.Second}
//
// The key stays in the process; requests carry only a token. Whoever reads a token can use it until it expires. Plain http is
// accepted as an origin for loopback and for networks that encrypt below HTTP; it is a risk everywhere else.
package client

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Transport adds tokens to the requests for one service. It is safe for concurrent use. Printing it shows no key and no token.
type Transport struct {
	origin origin
	base   http.RoundTripper
	// token is the method of a source. A function, because fmt prints nothing inside one. In a pointer in an unexported field,
	// fmt would print the secrets: it follows pointers for some verbs, and calls no methods there.
	token func(refused string) (string, error)
}

// New makes a transport for the service at serviceOrigin: a scheme, a host, and a port if it is not the default one, such as
// https://api.example.com. The error is keystring.ErrForm or keystring.ErrChecksum for a text that is no key, or a sentence about
// the wrong origin or option. It never has the key.
func New(serviceOrigin, keyString string, o Options) (*Transport, error) {
	tokens, err := newSource(keyString, o)
	if err != nil {
		return nil, err
	}
	at, err := parseOrigin(serviceOrigin)
	if err != nil {
		return nil, err
	}
	base := o.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return &Transport{origin: at, base: base, token: tokens.token}, nil
}

// Token is the token that a request gets now. It is a secret until it expires.
func (t *Transport) Token() (string, error) { return t.token("") }

// CloseIdleConnections closes the idle connections of the base transport, for http.Client.CloseIdleConnections.
func (t *Transport) CloseIdleConnections() {
	if closer, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// RoundTrip sends a request with a token. It adds none to a request
//   - for another origin, such as the target of a redirect;
//   - that has an Authorization header.
//
// If the service answers that the token has expired, because the clocks differ or the request took long, RoundTrip sends the
// request once more with a new token, unless it has a body that cannot be repeated (GetBody). That is safe for every method: the
// service checks the token first. All other answers go to the caller.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || originOf(req.URL) != t.origin || len(req.Header.Values("Authorization")) > 0 {
		return t.base.RoundTrip(req)
	}
	bearer, err := t.token("")
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // RoundTrip must close the body in any case
		}
		return nil, err
	}
	resp, err := t.send(req, req.Body, bearer)
	if err != nil || !saysExpired(resp) {
		return resp, err
	}
	body, ok := repeatBody(req)
	if !ok {
		return resp, nil
	}
	bearer, err = t.token(bearer)
	if err != nil {
		if body != nil {
			_ = body.Close()
		}
		return resp, nil // without a new token, the refusal is the answer
	}
	discard(resp.Body)
	return t.send(req, body, bearer)
}

// send sends a copy of req, because a RoundTripper must not change the request. Only the header is copied deeply: the values of a
// trailer may be set while the body is read. The response has the caller's request, not the copy, so that printing it does not
// print the token.
func (t *Transport) send(req *http.Request, body io.ReadCloser, bearer string) (*http.Response, error) {
	sent := req.WithContext(req.Context())
	sent.Body = body
	sent.Header = req.Header.Clone()
	if sent.Header == nil {
		sent.Header = http.Header{}
	}
	sent.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := t.base.RoundTrip(sent)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// expiredDescription is the service's error_description in WWW-Authenticate for an expired token (RFC 6750, section 3).
const expiredDescription = `error_description="Error decoding token: signature has expired"`

func saysExpired(resp *http.Response) bool {
	return resp.StatusCode == http.StatusUnauthorized &&
		slices.ContainsFunc(resp.Header.Values("WWW-Authenticate"), func(challenge string) bool {
			return strings.Contains(challenge, expiredDescription)
		})
}

// repeatBody returns the body of req from its start; ok is false if it can be read only once.
func repeatBody(req *http.Request) (body io.ReadCloser, ok bool) {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return req.Body, true
	case req.GetBody == nil:
		return nil, false
	default:
		body, err := req.GetBody()
		return body, err == nil
	}
}

// discardSize is how many bytes of a refusal are read to keep its connection; the service's have fewer than 100.
const discardSize = 4 << 10

// discard closes a response that nobody reads. The connection can be reused only if the body was read to its end.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, discardSize)
	_ = body.Close()
}

// origin is the origin of a request's URL (RFC 6454, section 4).
type origin struct{ scheme, host, port string }

// errOrigin does not show the text: if the arguments of New are swapped, it is the key.
var errOrigin = errors.New("the origin must be a scheme and a host and nothing more, such as https://api.example.com")

func parseOrigin(text string) (origin, error) {
	u, err := url.Parse(text)
	if err != nil {
		return origin{}, errOrigin
	}
	at := originOf(u)
	rest := *u
	rest.Scheme, rest.Host = "", ""
	if at.host == "" || at.port == "" || rest != (url.URL{}) && rest != (url.URL{Path: "/"}) {
		return origin{}, errOrigin
	}
	return at, nil
}

// originOf is the origin of a URL. The port is empty for schemes other than http and https.
func originOf(u *url.URL) origin {
	o := origin{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	switch {
	case o.scheme == "https" && o.port == "":
		o.port = "443"
	case o.scheme == "http" && o.port == "":
		o.port = "80"
	}
	return o
}
