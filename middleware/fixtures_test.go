package middleware

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/token"
)

// service is the chain around one good route and routes that fail in different ways.
func service(t testing.TB, log io.Writer, change func(*Options)) *fiber.App {
	t.Helper()
	o := Options{
		Logger:         slog.New(slog.NewJSONHandler(log, nil)),
		AccessLog:      true,
		Metrics:        NewMetrics(prometheus.NewRegistry()),
		RequestTimeout: time.Minute,
	}
	if change != nil {
		change(&o)
	}
	app := fiber.New(fiber.Config{DisableStartupMessage: true, CaseSensitive: true, ErrorHandler: ErrorHandler})
	Install(app, o)
	app.Get("/good", Route("/good", false), func(c *fiber.Ctx) error { return c.SendString("good") })
	app.Get("/fails", Route("/fails", true), func(*fiber.Ctx) error { return errors.New("SECRET-MARKER") })
	app.Get("/panics", Route("/panics", true), func(*fiber.Ctx) error { panic("SECRET-MARKER") })
	app.Get("/down", Route("/down", true), func(*fiber.Ctx) error { return fault.New(fault.Unavailable) })
	app.Get("/waits", Route("/waits", false), func(c *fiber.Ctx) error {
		<-c.UserContext().Done()
		return c.UserContext().Err()
	})
	Edge(app, func() bool { return false })
	return app
}

// send sends one request and returns the answer with its body.
func send(t *testing.T, app *fiber.App, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
	r.RequestURI = target // as it is: parsing would refuse broken escapes
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	answer, err := app.Test(r, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// lines are the log records with the given message.
func lines(t *testing.T, log *bytes.Buffer, msg string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(log.String()) {
		record := map[string]any{}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if record["msg"] == msg {
			found = append(found, record)
		}
	}
	return found
}

// guarded is a service with one route behind a guard that knows the shared key; now is the clock of its policy.
func guarded(t testing.TB, cacheSize int, now *time.Time) (*fiber.App, *Guard) {
	t.Helper()
	keyring := keys.NewKeyring(keys.Options{Shared: keys.SharedKey{Algorithm: "HS256", APIKey: "key", Secret: []byte("secret")}})
	policy := token.NewPolicy(token.Rules{
		Audience: "latchkey-api", RequireAudience: true, Leeway: 30 * time.Second, MaxLifetime: time.Hour,
		Now: func() time.Time { return *now },
	})
	guard := NewGuard(keyring, policy, cacheSize)
	t.Cleanup(guard.Close)
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ErrorHandler: ErrorHandler})
	passed := func(c *fiber.Ctx) error { return c.SendString("passed") }
	chain := append([]fiber.Handler{Route("/guarded", true)}, guard.Protect(keys.AccountsRead)...)
	app.Get("/guarded", append(chain, passed)...)
	app.Get("/open", passed)
	return app, guard
}

func sharedToken(t testing.TB, at time.Time, scope *string) string {
	t.Helper()
	signing, err := token.HMAC("HS256", "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := token.Mint(signing, token.Grant{APIKey: "key", Audience: "latchkey-api", Now: at, TTL: 10 * time.Minute, BackDate: time.Second, Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// keyedService is a service whose callers have registered keys.
type keyedService struct {
	*fiber.App

	guard *Guard
	ring  *keys.Keyring
	now   time.Time // of the policy
}

// registered is a service with two guarded routes: /whoami for any key, /admin for keys with keys:admin.
func registered(t *testing.T, log io.Writer, cacheSize int) *keyedService {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{
		URL: "sqlite:" + filepath.ToSlash(filepath.Join(t.TempDir(), "latchkey.db")), Environment: "development",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r := &keyedService{now: time.Now()}
	r.ring = keys.NewKeyring(keys.Options{
		Store: s, Environment: keystring.Test, Instance: "this", Logger: slog.New(slog.DiscardHandler),
	})
	if err := r.ring.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.guard = NewGuard(r.ring, token.NewPolicy(token.Rules{
		Audience: "latchkey-api", RequireAudience: true, Leeway: 30 * time.Second, MaxLifetime: time.Hour,
		Now: func() time.Time { return r.now },
	}), cacheSize)
	t.Cleanup(r.guard.Close)
	r.App = service(t, log, nil)
	for path, scope := range map[string]keys.Scope{"/whoami": "", "/admin": keys.KeysAdmin} {
		chain := append([]fiber.Handler{Route(path, true)}, r.guard.Protect(scope)...)
		r.Get(path, append(chain, handlers.WhoAmI)...)
	}
	return r
}

// request is the status of a request. It takes little memory, for tests that measure memory.
func (r *keyedService) request(handler fasthttp.RequestHandler, path, token string) int {
	var request fasthttp.RequestCtx
	request.Request.SetRequestURI(path)
	request.Request.Header.Set("Authorization", token)
	handler(&request)
	return request.Response.StatusCode()
}

func (r *keyedService) key(t *testing.T, change ...func(*keys.Request)) keystring.Key {
	t.Helper()
	in := keys.Request{Client: "acme", Scopes: []string{"accounts:read", "storyspaces:read"}}
	for _, each := range change {
		each(&in)
	}
	_, text, err := r.ring.Create(t.Context(), keys.Actor{Key: "cli"}, in)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tokenOf is a token of a key. changed replaces claims; nil removes one.
func (r *keyedService) tokenOf(t *testing.T, key keystring.Key, changed map[string]any) string {
	t.Helper()
	private, ok := key.PrivateKey()
	if !ok {
		t.Fatal("not a key of this kind")
	}
	said := map[string]any{
		"apiKey": key.ID(), "aud": "latchkey-api", "iat": r.now.Unix() - 1, "exp": r.now.Add(10 * time.Minute).Unix(),
	}
	for name, value := range changed {
		if said[name] = value; value == nil {
			delete(said, name)
		}
	}
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "EdDSA", "kid": key.ID()}) + "." + part(said)
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(private, []byte(signed)))
}

// manyAudiences make a token nearly as long as it may be.
func manyAudiences(i int) map[string]any {
	audiences := []string{"latchkey-api"}
	for range 500 {
		audiences = append(audiences, "a")
	}
	return map[string]any{"aud": audiences, "jti": fmt.Sprintf("%06d", i)}
}
