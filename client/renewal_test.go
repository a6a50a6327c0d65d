package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// TestRenewal answers the first request with a refusal and the following ones with another status.
func TestRenewal(t *testing.T) {
	const text = `{"username":"stevenm"}`
	repeatable := func() (io.ReadCloser, error) { return newBody(text), nil }
	broken := func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	for name, tt := range map[string]struct {
		status    int
		challenge string
		body      io.ReadCloser
		getBody   func() (io.ReadCloser, error)
		renewed   bool
	}{
		"expired":                         {401, challenge(fault.TokenExpired), nil, nil, true},
		"expired, an empty body":          {401, challenge(fault.TokenExpired), http.NoBody, nil, true},
		"expired, a body to repeat":       {401, challenge(fault.TokenExpired), newBody(text), repeatable, true},
		"expired, a body to read once":    {401, challenge(fault.TokenExpired), newBody(text), nil, false},
		"expired, a body that is gone":    {401, challenge(fault.TokenExpired), newBody(text), broken, false},
		"not yet valid":                   {401, challenge(fault.TokenNotYetValid), nil, nil, false},
		"a bad signature":                 {401, challenge(fault.SignatureInvalid), nil, nil, false},
		"a revoked key":                   {401, challenge(fault.APITokenIncorrect), nil, nil, false},
		"no token seen":                   {401, `Bearer realm="latchkey"`, nil, nil, false},
		"somebody else's 401":             {401, `Basic realm="proxy"`, nil, nil, false},
		"somebody else's expiry":          {401, `Bearer error_description="the signature has expired long ago"`, nil, nil, false},
		"only the body says that expired": {401, "", nil, nil, false},
		"another status":                  {403, challenge(fault.TokenExpired), nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := newBody(`{"detail":"Error decoding token: signature has expired"}`), newBody("{}")
			net := &network{answers: []*http.Response{answer(tt.status, tt.challenge, first), answer(200, "", second)}}
			req := get(t, service)
			req.Body, req.GetBody = tt.body, tt.getBody
			resp, err := newTransport(t, newKey(t, keystring.Ed25519), client.Options{Base: net}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			want := map[bool]int{false: tt.status, true: 200}[tt.renewed]
			if resp.StatusCode != want || resp.Request != req {
				t.Errorf("status %d, want %d", resp.StatusCode, want)
			}
			if sent, ok := tt.body.(*body); ok && sent.closed == 0 {
				t.Error("the request's body is left open")
			}
			if !tt.renewed {
				if len(net.tokens) != 1 || first.closed != 0 || first.left() == 0 {
					t.Errorf("%d requests; the answer's body was closed %d times or is read", len(net.tokens), first.closed)
				}
				return
			}
			if len(net.tokens) != 2 || net.tokens[0] == net.tokens[1] || net.bodies[0] != net.bodies[1] {
				t.Fatalf("%d requests with bodies %q, or the same token again", len(net.tokens), net.bodies)
			}
			if first.closed != 1 || first.left() != 0 {
				t.Errorf("the refusal's body was closed %d times and has an unread rest", first.closed)
			}
			if second.closed != 0 || second.left() == 0 {
				t.Error("the caller's answer was read or closed")
			}
		})
	}
}

func TestRenewalHappensOnce(t *testing.T) {
	refusals := []*body{newBody("first"), newBody("second"), newBody("third")}
	net := &network{}
	for _, b := range refusals {
		net.answers = append(net.answers, answer(401, challenge(fault.TokenExpired), b))
	}
	resp, err := newTransport(t, newKey(t, keystring.HS256), client.Options{Base: net}).RoundTrip(get(t, service))
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(resp.Body); len(net.tokens) != 2 || resp.StatusCode != 401 || string(text) != "second" {
		t.Errorf("%d requests, the answer is %d %s", len(net.tokens), resp.StatusCode, text)
	}
}

func TestRenewalDoesNotReadALongRefusalToItsEnd(t *testing.T) {
	long := newBody(strings.Repeat("x", 1<<20))
	net := &network{answers: []*http.Response{answer(401, challenge(fault.TokenExpired), long), answer(200, "", newBody(""))}}
	if _, err := newTransport(t, newKey(t, keystring.HS256), client.Options{Base: net}).RoundTrip(get(t, service)); err != nil {
		t.Fatal(err)
	}
	if rest := long.left(); rest < 1<<20-8<<10 || long.closed != 1 {
		t.Errorf("%d bytes are left, closed %d times", rest, long.closed)
	}
}

// TestRenewalOnARealConnection renews against a server, with a real client, a body and a connection to reuse.
func TestRenewalOnARealConnection(t *testing.T) {
	var tokens, bodies, connections []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		tokens, bodies = append(tokens, r.Header.Get("Authorization")), append(bodies, string(text))
		connections = append(connections, r.RemoteAddr)
		if len(tokens) == 1 {
			w.Header().Set("WWW-Authenticate", challenge(fault.TokenExpired))
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"detail":"`+fault.TokenExpired.Text()+`"}`)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	transport, err := client.New(server.URL, newKey(t, keystring.Ed25519).Reveal(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Post(server.URL, "text/plain", strings.NewReader("once"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated || strings.Join(bodies, " ") != "once once" || tokens[0] == tokens[1] {
		t.Errorf("status %d, bodies %q", resp.StatusCode, bodies)
	}
	if connections[0] != connections[1] {
		t.Error("the refusal cost the connection")
	}
}

// TestRenewalByManyGoroutinesMintsOnce sends many requests, and answers all of them only after the last: the token has expired.
func TestRenewalByManyGoroutinesMintsOnce(t *testing.T) {
	const callers = 64
	var (
		mu    sync.Mutex
		count = map[string]int{}
		first string
	)
	var all sync.WaitGroup
	all.Add(callers)
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		mu.Lock()
		bearer := req.Header.Get("Authorization")
		if first == "" {
			first = bearer
		}
		refused := bearer == first
		count[bearer]++
		mu.Unlock()
		if !refused {
			return answer(200, "", newBody("")), nil
		}
		all.Done()
		all.Wait()
		return answer(401, challenge(fault.TokenExpired), newBody("")), nil
	})
	transport := newTransport(t, newKey(t, keystring.Ed25519), client.Options{Base: base})
	var done sync.WaitGroup
	for range callers {
		done.Go(func() {
			resp, err := transport.RoundTrip(get(t, service))
			if err != nil || resp.StatusCode != 200 {
				t.Error(resp, err)
			}
		})
	}
	done.Wait()
	if len(count) != 2 || count[first] != callers {
		t.Errorf("%d tokens were minted, the first was sent %d times", len(count), count[first])
	}
}
