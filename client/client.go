// Package client calls Latchkey from Go. Transport is an http.RoundTripper made from a key string: it mints short-lived
// tokens, uses each until shortly before it expires, and puts it on the requests that go to the service.
//
//	transport, err := client.New("https://api.example.com", key, client.Options{})
//	...
//	caller := &http.Client{Transport: transport, Timeout: 10 * time.Second}
//
// The key stays in the process. What travels is a token, which whoever reads it can use until it expires: plain http is
// accepted as an origin, for loopback and for networks that encrypt below HTTP, and is a risk everywhere else.
package client

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Transport adds tokens to the requests for one service. It is safe for concurrent use, and printing it shows neither
// the key nor a token.
type Transport struct {
	origin origin
	base   http.RoundTripper
	// token is the method of a source. It is kept as a function because nothing prints what is inside one: for some
	// verbs package fmt follows pointers, and it does not call the methods of what an unexported field holds.
	token func(refused string) (string, error)
}

// New makes a transport for the service at serviceOrigin: a scheme, a host, and a port where it is not the usual one, as in
// https://api.example.com. The error is keystring.ErrForm or keystring.ErrChecksum for what is no key, or a sentence on
// the origin or the option that is wrong; it never holds the key.
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

// Token is the token that a request would carry now. It is a secret until it expires.
func (t *Transport) Token() (string, error) { return t.token("") }

// CloseIdleConnections closes those of the base transport; http.Client.CloseIdleConnections calls it.
func (t *Transport) CloseIdleConnections() {
	if closer, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// RoundTrip sends a request with a token. A request for another origin than the service's, such as the target of a
// redirect, goes out as it is, and so does one that brings its own Authorization header.
//
// When the service answers that the token has expired, because the clocks differ or the request was long under way, the
// request is sent once more with a new token, provided that it has no body or can repeat it (GetBody). This is safe for
// every method: the service checks the token before it does anything else. Every other answer is the caller's.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil || originOf(req.URL) != t.origin || len(req.Header.Values("Authorization")) > 0 {
		return t.base.RoundTrip(req)
	}
	bearer, err := t.token("")
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // whatever happens, RoundTrip closes the body
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
		return resp, nil // the refusal is an answer, and the only one there is
	}
	discard(resp.Body)
	return t.send(req, body, bearer)
}

// send sends a copy of req: a RoundTripper must not change the request. The copy is shallow but for the header, because
// the values of a trailer may be set while the body is read. The response names the caller's request, not the copy, so
// that nobody who prints the response prints the token.
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

// expiredDescription is what the service says in WWW-Authenticate about a token that has expired (RFC 6750, section 3).
const expiredDescription = `error_description="Error decoding token: signature has expired"`

func saysExpired(resp *http.Response) bool {
	return resp.StatusCode == http.StatusUnauthorized &&
		slices.ContainsFunc(resp.Header.Values("WWW-Authenticate"), func(challenge string) bool {
			return strings.Contains(challenge, expiredDescription)
		})
}

// repeatBody is the body of req from its start; ok is false where it can be read only once.
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

// discardLimit is how much of a refusal is read for the sake of its connection; the service's have under 100 bytes.
const discardLimit = 4 << 10

// discard ends a response that nobody will read. Only a body that was read to its end leaves the connection usable.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, discardLimit)
	_ = body.Close()
}

// origin is who a request goes to (RFC 6454, section 4).
type origin struct{ scheme, host, port string }

// errOrigin does not repeat the text: where the arguments of New are swapped, it is the key.
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

// originOf is where a URL leads. The port is empty for a scheme that is neither http nor https.
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
