package middleware

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// The engine keeps the memory of a request for the next one on its connection. What held more than an ordinary request needs
// is given back: the number of connections is bounded, and what an idle one holds must not be the caller's choice.
const (
	keptHeader = 8 << 10 // bytes of the header, and of the target
	keptBody   = 4 << 10
	keptFields = 100 // header lines, and members of the query; the engine takes some 70 bytes for each, beside its text
)

// giveBack lets go of the memory of a request that is answered, where it was a large one, or one with trailers, which nobody
// has counted.
func giveBack(ctx *fasthttp.RequestCtx) {
	ctx.Request.ReleaseBody(keptBody)
	header := &ctx.Request.Header
	raw, target := header.RawHeaders(), header.RequestURI()
	if len(raw) > keptHeader || len(target) > keptHeader || bytes.Count(raw, []byte{'\n'}) > keptFields ||
		bytes.Count(target, []byte{'&'}) > keptFields || len(header.PeekTrailerKeys()) > 0 {
		giveAllBack(ctx)
	}
}

// giveAllBack lets go of all memory of a request that is answered.
func giveAllBack(ctx *fasthttp.RequestCtx) {
	method := string(ctx.Method())
	*ctx.URI() = fasthttp.URI{}
	ctx.Request.Header = fasthttp.RequestHeader{}
	ctx.Request.Header.SetMethod(method) // the engine sends no body to HEAD
	ctx.Request.ReleaseBody(0)
}
