package middleware

import (
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// request is what one request carries from one handler of the chain to the next. Handlers of routes do not see it: they
// read the Principal under keys.PrincipalKey and the Actor under keys.ActorKey. It is not pooled, because the Principal
// and the context of the deadline, which are parts of it, may be held longer than the request takes.
type request struct {
	// route is the pattern of the route, set by Route; "" where no route answered.
	route string
	// engineFault is what the engine refused before routing, nil for nearly every request.
	engineFault *fault.Error
	// key verified the signature of the token, which may have been refused all the same; nil where none did.
	key *keys.Key
	// token is what was proven of the token, and cached says that it was found in the token cache.
	token  *verified
	cached bool
	// unknownMethod says that the framework does not know the method: Edge put TRACE in its place.
	unknownMethod bool
	// principal is the caller. The zero Principal, before the guard let the request through, has no scope.
	principal keys.Principal
	// deadline is the context of the request.
	deadline lazyContext
}

// requestKey is the key under which a request is kept among the values of the engine.
type requestKey struct{}

// requestOf is what the request carries so far.
func requestOf(ctx *fasthttp.RequestCtx) *request {
	r, ok := ctx.UserValue(requestKey{}).(*request)
	if !ok {
		r = &request{}
		ctx.SetUserValue(requestKey{}, r)
	}
	return r
}

// unrouted is the route of a request that no route answers. The path itself would be a label that callers choose.
const unrouted = "unmatched"

// routeName is the pattern of the route that answered, for the access line and the metrics.
func (r *request) routeName() string {
	if r.route == "" {
		return unrouted
	}
	return r.route
}

// keyID is the id of the key whose signature the request bore, also where it was refused then; "" without one.
func (r *request) keyID() string {
	if r.key == nil {
		return ""
	}
	return r.key.ID()
}
