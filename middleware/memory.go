package middleware

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// The engine keeps the buffers of a request for the next one on the same connection. Buffers larger than these are
// released: callers must not choose how much memory an idle connection holds.
const (
	keptHeader = 8 << 10 // bytes of the header, and of the target
	keptBody   = 4 << 10
	keptFields = 100 // header lines, and parameters of the query; each takes about 70 bytes more than its text
)

// releaseLarge releases the buffers of an answered request that was large. One with trailers counts as large: their size is
// unknown.
func releaseLarge(ctx *fasthttp.RequestCtx) {
	ctx.Request.ReleaseBody(keptBody)
	header := &ctx.Request.Header
	raw, target := header.RawHeaders(), header.RequestURI()
	if len(raw) > keptHeader || len(target) > keptHeader || bytes.Count(raw, []byte{'\n'}) > keptFields ||
		bytes.Count(target, []byte{'&'}) > keptFields || len(header.PeekTrailerKeys()) > 0 {
		releaseAll(ctx)
	}
}

// releaseAll releases all buffers of an answered request.
func releaseAll(ctx *fasthttp.RequestCtx) {
	method := string(ctx.Method())
	*ctx.URI() = fasthttp.URI{}
	ctx.Request.Header = fasthttp.RequestHeader{}
	ctx.Request.Header.SetMethod(method) // the engine sends no body to HEAD
	ctx.Request.ReleaseBody(0)
}
