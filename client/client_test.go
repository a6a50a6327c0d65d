package client_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// roundTripper is a function as the network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// body is a body that records how it was read and closed.
type body struct {
	io.Reader
	closed int
}

func newBody(text string) *body { return &body{Reader: strings.NewReader(text)} }

func (b *body) Close() error { b.closed++; return nil }

// left is what was not read.
func (b *body) left() int {
	rest, _ := io.ReadAll(b.Reader)
	return len(rest)
}

// challenge is the service's WWW-Authenticate for a refused token.
func challenge(code fault.Code) string {
	return `Bearer realm="latchkey", error="invalid_token", error_description="` + code.Text() + `"`
}

func answer(status int, challenge string, b *body) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Www-Authenticate": {challenge}}, Body: b}
}

// network returns its answers in turn, repeats the last one, and records the requests.
type network struct {
	answers []*http.Response
	tokens  []string
	bodies  []string
}

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	text := ""
	if req.Body != nil {
		sent, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		text = string(sent)
		_ = req.Body.Close()
	}
	n.tokens = append(n.tokens, strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	n.bodies = append(n.bodies, text)
	next := n.answers[0]
	if len(n.answers) > 1 {
		n.answers = n.answers[1:]
	}
	return next, nil
}

func get(t testing.TB, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestRequestCarriesTheToken(t *testing.T) {
	key := newKey(t, keystring.Ed25519)
	net := &network{answers: []*http.Response{answer(200, "", newBody("{}"))}}
	transport := newTransport(t, key, client.Options{Base: net})
	for range 3 {
		req := get(t, service+"/service/whoami")
		req.Header.Set("Accept", "application/json")
		resp, err := transport.RoundTrip(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if len(req.Header) != 1 {
			t.Errorf("the caller's request was changed: %v", req.Header)
		}
		if resp.Request != req {
			t.Error("the response names a request that holds the token")
		}
	}
	verified(t, key, net.tokens[0])
	if len(net.tokens) != 3 || net.tokens[0] != net.tokens[1] || net.tokens[1] != net.tokens[2] || net.tokens[0] != current(t, transport) {
		t.Errorf("the token is not reused: %d calls", len(net.tokens))
	}
}

func TestRequestWithoutAHeaderMap(t *testing.T) {
	net := &network{answers: []*http.Response{answer(200, "", newBody(""))}}
	req := get(t, service)
	req.Header = nil
	if _, err := newTransport(t, newKey(t, keystring.HS256), client.Options{Base: net}).RoundTrip(req); err != nil || net.tokens[0] == "" {
		t.Error(err, net.tokens)
	}
	if req.Header != nil {
		t.Error("the caller's request was changed")
	}
}

func TestTokenIsSentToTheServiceOnly(t *testing.T) {
	for _, tt := range []struct {
		origin, url string
		want        bool
	}{
		{"https://api.example.com", "https://api.example.com/a?b", true},
		{"https://api.example.com", "https://api.example.com:443/", true},
		{"https://api.example.com:443", "https://api.example.com/", true},
		{"https://api.example.com/", "https://API.Example.COM/", true},
		{"HTTPS://API.example.com", "https://api.example.com/", true},
		{"http://127.0.0.1:8000", "http://127.0.0.1:8000/", true},
		{"http://localhost", "http://localhost:80/", true},
		{"http://[::1]:8000", "http://[::1]:8000/", true},
		{"https://api.example.com", "http://api.example.com/", false},
		{"https://api.example.com", "http://api.example.com:443/", false},
		{"https://api.example.com", "https://api.example.com:8443/", false},
		{"https://api.example.com:8443", "https://api.example.com/", false},
		{"https://api.example.com", "https://example.com/", false},
		{"https://api.example.com", "https://a.api.example.com/", false},
		{"https://api.example.com", "https://api.example.com.evil.test/", false},
		{"https://api.example.com", "https://api.example.com@evil.test/", false},
		{"http://127.0.0.1:8000", "http://127.0.0.1:8001/", false},
	} {
		t.Run(tt.url, func(t *testing.T) {
			net := &network{answers: []*http.Response{answer(401, challenge(fault.TokenExpired), newBody(""))}}
			transport, err := client.New(tt.origin, newKey(t, keystring.HS256).Reveal(), client.Options{Base: net})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := transport.RoundTrip(get(t, tt.url)); err != nil {
				t.Fatal(err)
			}
			if got := net.tokens[0] != ""; got != tt.want {
				t.Errorf("carries a token: %v", got)
			}
			if !tt.want && len(net.tokens) != 1 {
				t.Errorf("a stranger's 401 was answered with %d requests", len(net.tokens))
			}
		})
	}
}

func TestRequestWithoutAURLIsTheBaseTransportsAffair(t *testing.T) {
	resp, err := newTransport(t, newKey(t, keystring.HS256), client.Options{}).RoundTrip(&http.Request{Header: http.Header{}})
	if err == nil {
		t.Error("accepted", resp)
	}
}

// TestRedirectLeavesTheTokenBehind follows redirects with a real client: within the service, then to another port.
func TestRedirectLeavesTheTokenBehind(t *testing.T) {
	var seen []string
	foreign := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, "foreign "+strings.Join(r.Header["Authorization"], ","))
	}))
	defer foreign.Close()
	mux := http.NewServeMux()
	own := httptest.NewServer(mux)
	defer own.Close()
	for path, target := range map[string]string{"/first": "/second", "/second": foreign.URL} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, path+" "+strings.Join(r.Header["Authorization"], ","))
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		})
	}
	transport, err := client.New(own.URL, newKey(t, keystring.Ed25519).Reveal(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(get(t, own.URL+"/first"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	bearer := "Bearer " + current(t, transport)
	if got, want := strings.Join(seen, "\n"), "/first "+bearer+"\n/second "+bearer+"\nforeign "; got != want {
		t.Errorf("seen\n%s", got)
	}
}

func TestAuthorizationOfTheCallerStays(t *testing.T) {
	net := &network{answers: []*http.Response{answer(401, challenge(fault.TokenExpired), newBody(""))}}
	req := get(t, service)
	req.Header.Set("Authorization", "Bearer own")
	if _, err := newTransport(t, newKey(t, keystring.HS256), client.Options{Base: net}).RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if len(net.tokens) != 1 || net.tokens[0] != "own" {
		t.Errorf("sent %q", net.tokens)
	}
}

func TestTrailerThatIsSetWhileTheBodyIsRead(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Trailer.Get("Digest")
	}))
	defer server.Close()
	transport, err := client.New(server.URL, newKey(t, keystring.HS256).Reveal(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"Digest": nil}
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("text"), atEnd(func() { req.Trailer.Set("Digest", "known") })))
	req.ContentLength = -1
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if digest := <-got; digest != "known" {
		t.Errorf("the trailer arrives as %q", digest)
	}
}

// atEnd is an empty reader that runs a function when it is read.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

func TestErrorOfTheBaseTransportIsReturned(t *testing.T) {
	down := errors.New("down")
	calls := 0
	transport := newTransport(t, newKey(t, keystring.HS256), client.Options{Base: roundTripper(func(*http.Request) (*http.Response, error) {
		calls++
		return nil, down
	})})
	if resp, err := transport.RoundTrip(get(t, service)); !errors.Is(err, down) || resp != nil || calls != 1 {
		t.Errorf("%v %v after %d calls", resp, err, calls)
	}
}

func TestCloseIdleConnections(t *testing.T) {
	idle := &idleCloser{}
	(&http.Client{Transport: newTransport(t, newKey(t, keystring.HS256), client.Options{Base: idle})}).CloseIdleConnections()
	if idle.closed != 1 {
		t.Errorf("closed %d times", idle.closed)
	}
	newTransport(t, newKey(t, keystring.HS256), client.Options{Base: roundTripper(nil)}).CloseIdleConnections()
}

type idleCloser struct {
	roundTripper
	closed int
}

func (c *idleCloser) CloseIdleConnections() { c.closed++ }

func BenchmarkRoundTrip(b *testing.B) {
	resp := &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(nil))}
	base := roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })
	transport := newTransport(b, newKey(b, keystring.Ed25519), client.Options{Base: base, TTL: time.Hour})
	req := get(b, service+"/service/whoami")
	req.Header.Set("Accept", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := transport.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMint(b *testing.B) {
	for _, kind := range []keystring.Kind{keystring.Ed25519, keystring.HS256} {
		b.Run(string(kind), func(b *testing.B) {
			key := newKey(b, kind).Reveal()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Mint(key, client.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
