package client_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/client"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/token"
)

const service = "https://api.example.com"

// start is no whole second, as on a real clock.
var start = time.Date(2026, 11, 23, 12, 0, 0, 700_000_000, time.UTC)

// clock is a clock that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time           { return c.at }
func (c *clock) advance(by time.Duration) { c.at = c.at.Add(by) }

func newKey(t testing.TB, kind keystring.Kind) keystring.Key {
	t.Helper()
	key, err := keystring.New(keystring.Test, kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newTransport(t testing.TB, key keystring.Key, o client.Options) *client.Transport {
	t.Helper()
	transport, err := client.New(service, key.Reveal(), o)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

func current(t *testing.T, transport *client.Transport) string {
	t.Helper()
	raw, err := transport.Token()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// verified checks the signature of a token with the standard library only, and returns the payload.
func verified(t *testing.T, key keystring.Key, raw string) []byte {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	var decoded [3][]byte
	for i, part := range parts {
		text, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		decoded[i] = text
	}
	var header map[string]string
	if err := json.Unmarshal(decoded[0], &header); err != nil {
		t.Fatal(err)
	}
	signed := []byte(parts[0] + "." + parts[1])
	var alg string
	var good bool
	if private, ok := key.PrivateKey(); ok {
		alg, good = "EdDSA", ed25519.Verify(private.Public().(ed25519.PublicKey), signed, decoded[2])
	} else {
		mac := hmac.New(sha256.New, []byte(key.Reveal()))
		mac.Write(signed)
		alg, good = "HS256", hmac.Equal(mac.Sum(nil), decoded[2])
	}
	if !good {
		t.Fatal("the signature does not verify")
	}
	if want := map[string]string{"alg": alg, "kid": key.ID(), "typ": "JWT"}; !maps.Equal(header, want) {
		t.Fatalf("header %v, want %v", header, want)
	}
	return decoded[1]
}

func TestTokenOfBothKindsVerifies(t *testing.T) {
	for _, kind := range []keystring.Kind{keystring.Ed25519, keystring.HS256} {
		t.Run(string(kind), func(t *testing.T) {
			key, at := newKey(t, kind), &clock{start}
			payload := verified(t, key, current(t, newTransport(t, key, client.Options{Now: at.now})))
			var got map[string]any
			if err := json.Unmarshal(payload, &got); err != nil {
				t.Fatal(err)
			}
			if id, _ := got["jti"].(string); id == "" {
				t.Error("no jti: two tokens of one second would be the same")
			}
			delete(got, "jti")
			second := float64(start.Unix())
			want := map[string]any{"apiKey": key.ID(), "aud": "latchkey-api", "iat": second, "nbf": second - 5, "exp": second + 300}
			if !maps.Equal(got, want) {
				t.Errorf("claims %v, want %v", got, want)
			}

			// The service's own rules.
			var claims token.Claims
			if err := json.Unmarshal(payload, &claims); err != nil {
				t.Fatal(err)
			}
			claims.Hold(token.NewPolicy(token.Rules{
				Audience: "latchkey-api", RequireAudience: true, Leeway: 30 * time.Second, MaxLifetime: 5 * time.Minute, Now: at.now,
			}))
			if err := claims.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTokenHasTheOptions(t *testing.T) {
	key := newKey(t, keystring.HS256)
	for name, tt := range map[string]struct {
		options client.Options
		claim   string
		want    any
	}{
		"audience":            {client.Options{Audience: "other"}, "aud", "other"},
		"the shortest TTL":    {client.Options{TTL: time.Second}, "exp", float64(start.Unix() + 1)},
		"the longest TTL":     {client.Options{TTL: time.Hour}, "exp", float64(start.Unix() + 3600)},
		"back-dating":         {client.Options{BackDate: time.Minute}, "nbf", float64(start.Unix() - 60)},
		"scopes":              {client.Options{Scopes: []string{"accounts:read", "accounts:write"}}, "scope", "accounts:read accounts:write"},
		"an empty scope list": {client.Options{Scopes: []string{}}, "scope", ""},
		"no scope list":       {client.Options{}, "scope", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tt.options.Now = (&clock{start}).now
			raw, err := client.Mint(key.Reveal(), tt.options)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(verified(t, key, raw), &got); err != nil {
				t.Fatal(err)
			}
			if got[tt.claim] != tt.want {
				t.Errorf("%s is %v, want %v", tt.claim, got[tt.claim], tt.want)
			}
		})
	}
}

func TestTokenHasTheScopesOfTheCall(t *testing.T) {
	key, scopes := newKey(t, keystring.HS256), []string{"accounts:read"}
	transport := newTransport(t, key, client.Options{Scopes: scopes})
	scopes[0] = "accounts:write"
	if payload := verified(t, key, current(t, transport)); bytes.Contains(payload, []byte("write")) {
		t.Errorf("a list that was changed later widened the token: %s", payload)
	}
}

// TestTokenIsReused sets the clock to the moment when a token is replaced, and one nanosecond before it.
func TestTokenIsReused(t *testing.T) {
	for name, tt := range map[string]struct {
		ttl time.Duration // of the options
		due time.Time
	}{
		"30s before exp":              {0, time.Date(2026, 11, 23, 12, 4, 30, 0, time.UTC)},
		"also of an hour":             {time.Hour, time.Date(2026, 11, 23, 12, 59, 30, 0, time.UTC)},
		"a quarter of a short life":   {time.Minute, time.Date(2026, 11, 23, 12, 0, 45, 0, time.UTC)},
		"a quarter of a shorter life": {4 * time.Second, time.Date(2026, 11, 23, 12, 0, 3, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			at := &clock{start}
			transport := newTransport(t, newKey(t, keystring.Ed25519), client.Options{TTL: tt.ttl, Now: at.now})
			first := current(t, transport)
			if current(t, transport) != first {
				t.Error("not reused at once")
			}
			at.at = tt.due.Add(-1)
			if current(t, transport) != first {
				t.Error("not reused until it is due")
			}
			at.at = tt.due
			second := current(t, transport)
			if second == first {
				t.Error("reused when it was due")
			}
			if current(t, transport) != second {
				t.Error("the new one is not reused")
			}
		})
	}
}

func TestTokenAfterTheClockIsSetBack(t *testing.T) {
	at := &clock{start}
	transport := newTransport(t, newKey(t, keystring.HS256), client.Options{Now: at.now})
	first := current(t, transport)
	at.advance(-500 * time.Millisecond)
	if current(t, transport) != first {
		t.Error("not reused within the second of its iat")
	}
	at.advance(-time.Minute)
	if current(t, transport) == first {
		t.Error("a token from the future is reused")
	}
}

func TestNewRefuses(t *testing.T) {
	good := newKey(t, keystring.Ed25519).Reveal()
	typo := good[:69] + "0"
	if typo == good {
		typo = good[:69] + "1"
	}
	for name, tt := range map[string]struct {
		origin, key string
		options     client.Options
		want        string
	}{
		"no key":              {service, "", client.Options{}, keystring.ErrForm.Error()},
		"a typo":              {service, typo, client.Options{}, keystring.ErrChecksum.Error()},
		"swapped":             {good, service, client.Options{}, keystring.ErrForm.Error()},
		"the key twice":       {good, good, client.Options{}, "origin"},
		"TTL too short":       {service, good, client.Options{TTL: time.Second - 1}, "TTL must be from 1s to 1h0m0s"},
		"TTL negative":        {service, good, client.Options{TTL: -time.Minute}, "TTL must be from 1s to 1h0m0s"},
		"TTL too long":        {service, good, client.Options{TTL: time.Hour + 1}, "TTL must be from 1s to 1h0m0s"},
		"post-dated":          {service, good, client.Options{BackDate: -1}, "BackDate must be from 0s to 1h0m0s"},
		"back-dated too far":  {service, good, client.Options{BackDate: time.Hour + 1}, "BackDate must be from 0s to 1h0m0s"},
		"no origin":           {"", good, client.Options{}, "origin"},
		"no scheme":           {"api.example.com", good, client.Options{}, "origin"},
		"a scheme too little": {"//api.example.com", good, client.Options{}, "origin"},
		"another scheme":      {"ftp://api.example.com", good, client.Options{}, "origin"},
		"a port for a scheme": {"localhost:8000", good, client.Options{}, "origin"},
		"no host":             {"https://", good, client.Options{}, "origin"},
		"only a port":         {"https://:443", good, client.Options{}, "origin"},
		"a path":              {service + "/service", good, client.Options{}, "origin"},
		"a query":             {service + "?a=b", good, client.Options{}, "origin"},
		"a fragment":          {service + "#a", good, client.Options{}, "origin"},
		"a user":              {"https://user@api.example.com", good, client.Options{}, "origin"},
		"no URL":              {"https://a b/" + good, good, client.Options{}, "origin"},
	} {
		t.Run(name, func(t *testing.T) {
			transport, err := client.New(tt.origin, tt.key, tt.options)
			if err == nil || transport != nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), good[21:]) {
				t.Errorf("the error is %q, want one with %q and without the key", err, tt.want)
			}
		})
	}
	if _, err := client.Mint(typo, client.Options{}); !errors.Is(err, keystring.ErrChecksum) {
		t.Errorf("Mint says %v of a typo", err)
	}
	if raw, err := client.Mint(good, client.Options{TTL: 2 * time.Hour}); err == nil {
		t.Errorf("Mint made a token of two hours, %d characters", len(raw))
	}
}

// TestSecretIsNeverPrinted prints a transport in every way, also where fmt calls no methods.
func TestSecretIsNeverPrinted(t *testing.T) {
	for _, kind := range []keystring.Kind{keystring.Ed25519, keystring.HS256} {
		t.Run(string(kind), func(t *testing.T) {
			key := newKey(t, kind)
			transport := newTransport(t, key, client.Options{Base: &network{}})
			raw := current(t, transport)
			type private struct{ transport *client.Transport }
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				for _, value := range []any{transport, reflect.ValueOf(transport).Elem(), private{transport}, &http.Client{Transport: transport}} {
					fmt.Fprintf(&out, verb+"\n", value)
				}
			}
			slog.New(slog.NewJSONHandler(&out, nil)).Info("client", "transport", transport)
			slog.New(slog.NewTextHandler(&out, nil)).Info("client", "transport", transport)
			if !strings.Contains(out.String(), "api.example.com") {
				t.Fatalf("nothing was printed: %s", &out)
			}
			secret, ok := key.HMACKey()
			if !ok {
				secret, _ = key.PrivateKey()
			}
			decimal := strings.Trim(fmt.Sprint(secret), "[]")
			signature := raw[strings.LastIndexByte(raw, '.')+1:]
			for _, text := range []string{key.Reveal()[21:64], string(secret), decimal, signature} {
				for _, printed := range []string{text, fmt.Sprintf("%x", text)} {
					if strings.Contains(out.String(), printed) {
						t.Errorf("%q is printed in\n%s", printed, &out)
					}
				}
			}
		})
	}
}
