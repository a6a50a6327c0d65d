package middleware

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// The bounds of what a request makes its connection hold. The number of connections is bounded, and what one of them takes
// must not be the caller's choice.
const (
	// maxFields is how many header lines a request may have, and how many trailers. The engine takes some 70 bytes for
	// each, beside its text, and the shortest line has 4.
	maxFields = 100
	// The engine keeps its memory for the next request on the connection. What held more than an ordinary request needs is
	// given back: of a header or target of keptHeader bytes, a body of keptBody, or a query of maxFields members.
	keptHeader = 8 << 10
	keptBody   = 4 << 10
)

// tooManyFields is what is wrong with a request of more lines than anybody needs, nil where nothing is.
func tooManyFields(header *fasthttp.RequestHeader) *fault.Error {
	lines := bytes.Count(header.RawHeaders(), []byte{'\n'}) - 1 // the last one is empty
	if max(lines, len(header.PeekTrailerKeys())) > maxFields {
		return fault.New(fault.HeaderTooLarge)
	}
	return nil
}

// giveBack lets go of the memory of a request that is answered, where it was a large one, or one whose trailers nobody has
// counted.
func giveBack(ctx *fasthttp.RequestCtx) {
	ctx.Request.ReleaseBody(keptBody)
	header := &ctx.Request.Header
	target := header.RequestURI()
	if tooManyFields(header) != nil || len(header.RawHeaders()) > keptHeader || len(target) > keptHeader ||
		bytes.Count(target, []byte{'&'}) > maxFields || len(header.PeekTrailerKeys()) > 0 {
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
