package middleware

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/keys"
)

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
			serve(b, app, run.path, raw)
			perRequest[run.name] = float64(b.Elapsed()) / float64(b.N)
			if open := perRequest["open"]; open > 0 {
				b.ReportMetric(perRequest[run.name]/open, "x-open")
			}
		})
	}
}

// BenchmarkChain is the whole path of a request, with its access line and its metrics.
func BenchmarkChain(b *testing.B) {
	now := time.Now()
	raw := sharedToken(b, now, nil)
	for _, run := range []struct {
		name, path string
		cache      int
	}{{"open", "/good", 0}, {"remembered", "/guarded", 100}, {"verified", "/guarded", 0}} {
		b.Run(run.name, func(b *testing.B) {
			app := service(b, io.Discard, nil)
			_, guard := guarded(b, run.cache, &now)
			chain := append([]fiber.Handler{Route("/guarded", true)}, guard.Protect(keys.AccountsRead)...)
			app.Get("/guarded", append(chain, func(c *fiber.Ctx) error { return c.SendString("passed") })...)
			serve(b, app, run.path, raw)
		})
	}
}

// serve runs a benchmark of one request.
func serve(b *testing.B, app *fiber.App, path, authorization string) {
	b.Helper()
	handler := app.Handler()
	ctx := new(fasthttp.RequestCtx)
	b.ReportAllocs()
	for b.Loop() {
		ctx.Request.Reset()
		ctx.Response.Reset()
		ctx.ResetUserValues()
		ctx.Request.SetRequestURI(path)
		ctx.Request.Header.Set("Authorization", authorization)
		handler(ctx)
		if ctx.Response.StatusCode() != http.StatusOK {
			b.Fatal(ctx.Response.StatusCode(), string(ctx.Response.Body()))
		}
	}
}
