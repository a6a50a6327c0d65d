package middleware

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/token"
)

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

func TestAHitIsHeldAgainstTheClock(t *testing.T) {
	for _, size := range []int{0, 100} {
		begin := time.Now()
		now := begin
		app, guard := guarded(t, size, &now)
		raw := sharedToken(t, begin, nil)
		steps := []struct {
			name   string
			clock  time.Duration
			status int
			body   string
		}{
			{"at first", 0, 200, "passed"},
			{"again", time.Second, 200, "passed"},
			{"the clock set back", -time.Hour, 401, `{"detail":"Error decoding token: token is not yet valid"}`},
			{"and forward", time.Minute, 200, "passed"},
			{"within the leeway", 10*time.Minute + 29*time.Second, 200, "passed"},
			{"past it", 10*time.Minute + 31*time.Second, 401, `{"detail":"Error decoding token: signature has expired"}`},
		}
		for _, step := range steps {
			now = begin.Add(step.clock)
			if answer, body := send(t, app, "GET", "/guarded", "Authorization", raw); answer.StatusCode != step.status || body != step.body {
				t.Errorf("cache of %d, %s: %d %s", size, step.name, answer.StatusCode, body)
			}
		}
		if size > 0 && guard.cache.tokens.EstimatedSize() != 1 {
			t.Errorf("%d tokens are remembered", guard.cache.tokens.EstimatedSize())
		}
	}
}

func TestOnlyAcceptedTokensAreRemembered(t *testing.T) {
	now := time.Now()
	app, guard := guarded(t, 100, &now)
	raw := sharedToken(t, now, nil)
	none := ""
	refused := []string{
		"", "x", raw[:len(raw)-4] + "AAAA", raw + "A", "Bearer " + raw[:20], sharedToken(t, now.Add(-time.Hour), nil),
		sharedToken(t, now.Add(time.Hour), nil), strings.Repeat("a", 4000),
	}
	for _, header := range refused {
		if answer, _ := send(t, app, "GET", "/guarded", "Authorization", header); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%.20q: %d", header, answer.StatusCode)
		}
	}
	if n := guard.cache.tokens.EstimatedSize(); n != 0 {
		t.Errorf("%d refused tokens are remembered", n)
	}
	// The scheme is no part of the token, and the scope is looked at each time.
	narrow := sharedToken(t, now, &none)
	for _, header := range []string{raw, "Bearer " + raw, "bearer   " + raw} {
		if answer, _ := send(t, app, "GET", "/guarded", "Authorization", header); answer.StatusCode != http.StatusOK {
			t.Errorf("%.20q: %d", header, answer.StatusCode)
		}
	}
	for range 2 {
		if answer, _ := send(t, app, "GET", "/guarded", "Authorization", narrow); answer.StatusCode != http.StatusForbidden {
			t.Errorf("a token without scopes: %d", answer.StatusCode)
		}
	}
	if n := guard.cache.tokens.EstimatedSize(); n != 1 {
		t.Errorf("%d tokens are remembered, want the one that was let through", n)
	}
}

// BenchmarkGuard prints what the guard costs, with and without the cache, as a ratio to the same route without it.
func BenchmarkGuard(b *testing.B) {
	now := time.Now()
	raw := sharedToken(b, now, nil)
	perRequest := map[string]float64{}
	for _, run := range []struct {
		name, path string
		cache      int
	}{{"open", "/open", 0}, {"remembered", "/guarded", 100}, {"verified", "/guarded", 0}} {
		b.Run(run.name, func(b *testing.B) {
			app, _ := guarded(b, run.cache, &now)
			handler := app.Handler()
			ctx := new(fasthttp.RequestCtx)
			b.ReportAllocs()
			for b.Loop() {
				ctx.Request.Reset()
				ctx.Response.Reset()
				ctx.ResetUserValues()
				ctx.Request.SetRequestURI(run.path)
				ctx.Request.Header.Set("Authorization", raw)
				handler(ctx)
				if ctx.Response.StatusCode() != http.StatusOK {
					b.Fatal(ctx.Response.StatusCode(), string(ctx.Response.Body()))
				}
			}
			perRequest[run.name] = float64(b.Elapsed()) / float64(b.N)
			if open := perRequest["open"]; open > 0 {
				b.ReportMetric(perRequest[run.name]/open, "x-open")
			}
		})
	}
}
