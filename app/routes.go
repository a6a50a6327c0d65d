package app

import (
	"fmt"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/middleware"
	"github.com/latchkey-api/latchkey/store"
)

// route is a row of the route table.
type route struct {
	method, path string // path as in OpenAPI: /service/account/{username}
	guard        guard
	handler      fiber.Handler
	doc          doc
}

// guard is who may call a route: anybody, any valid key, or a key that has the scope.
type guard struct {
	closed bool
	scope  keys.Scope
}

func open() guard                        { return guard{} }
func anyKey() guard                      { return guard{closed: true} }
func need(s keys.Scope) guard            { return guard{closed: true, scope: s} }
func fails(f ...fault.Code) []fault.Code { return f }

// table has every route of the service. The OpenAPI document is made from it; a row without documentation is an error at
// start.
func table(s *store.Store, ring *keys.Keyring, ready fiber.Handler) []route {
	accounts, spaces := &handlers.Accounts{Store: s}, &handlers.Storyspaces{Store: s}
	admin := &handlers.Keys{Keyring: ring, Store: s}
	audit := &handlers.Audit{Store: s}
	ex := examples()
	return []route{
		{"GET", "/", open(), handlers.Hello, doc{
			id: "hello", summary: "Say hello", answer: handlers.Message{Msg: "Hello from our latchkey app."},
		}},
		{"GET", "/livez", open(), handlers.Live, doc{
			id: "live", summary: "Whether the process serves requests", answer: handlers.Status{Status: "ok"},
		}},
		{"GET", "/readyz", open(), ready, doc{
			id: "ready", summary: "Whether the service can do its work", answer: handlers.Status{Status: "ok"}, fails: fails(fault.Unavailable),
		}},
		{"GET", "/service/account/{username}", need(keys.AccountsRead), accounts.ByUsername, doc{
			id: "getAccount", summary: "An account by its username",
			request: handlers.AccountByUsername{}, answer: ex.stevenm, fails: fails(fault.NotFound),
		}},
		{"GET", "/service/account/", need(keys.AccountsRead), accounts.ByID, doc{
			id: "getAccountByID", summary: "An account by its id",
			request: handlers.AccountByID{}, answer: ex.stevenm, fails: fails(fault.NotFound, fault.Invalid),
		}},
		{"POST", "/service/account/register", need(keys.AccountsWrite), accounts.Register, doc{
			id: "registerAccount", summary: "Register an account",
			request: handlers.RegisterAccount{Username: "alice", Email: "alice@example.com"},
			answer:  ex.alice, created: true, fails: fails(fault.Conflict),
		}},
		{"GET", "/service/storyspaces/", need(keys.StoryspacesRead), spaces.List, doc{
			id: "listStoryspaces", summary: "The storyspaces of a user, oldest first",
			request: handlers.StoryspacesOf{}, fails: fails(fault.Invalid, fault.Timeout),
			answer: ex.storyspaces,
		}},
		{"GET", "/service/storyspaces/{id}", need(keys.StoryspacesRead), spaces.ByID, doc{
			id: "getStoryspace", summary: "A storyspace by its id",
			request: handlers.StoryspaceByID{}, answer: ex.barfood, fails: fails(fault.NotFound),
		}},
		{"POST", "/service/storyspaces/begin", need(keys.StoryspacesWrite), spaces.Begin, doc{
			id: "beginStoryspace", summary: "Begin a storyspace",
			request: handlers.BeginStoryspace{Username: "stevenm", Name: "foobar"},
			answer:  ex.foobar, created: true,
			fails: fails(fault.NotFound),
		}},
		{"GET", "/service/whoami", anyKey(), handlers.WhoAmI, doc{
			id: "whoAmI", summary: "The caller's own key and scopes",
			answer: ex.caller,
		}},
		{"POST", "/service/keys", need(keys.KeysAdmin), admin.Create, doc{
			id: "createKey", summary: "Make a key; its secret is shown this once",
			request: handlers.CreateKey{Client: "acme", Scopes: []handlers.ScopeName{"accounts:read"}},
			answer:  ex.made, created: true,
		}},
		{"GET", "/service/keys", need(keys.KeysAdmin), admin.List, doc{
			id: "listKeys", summary: "Keys, oldest first", request: handlers.ListKeys{},
			answer: ex.listed, fails: fails(fault.Invalid, fault.Timeout),
		}},
		{"GET", "/service/keys/{id}", need(keys.KeysAdmin), admin.ByID, doc{
			id: "getKey", summary: "A key by its id", request: handlers.KeyByID{}, answer: ex.key, fails: fails(fault.NotFound),
		}},
		{"POST", "/service/keys/{id}/rotate", need(keys.KeysAdmin), admin.Rotate, doc{
			id: "rotateKey", summary: "Make a successor; the old key is accepted for a while longer",
			request: handlers.RotateKey{Grace: "24h"}, created: true,
			answer: ex.rotated,
			fails:  fails(fault.NotFound, fault.Conflict),
		}},
		{"POST", "/service/keys/{id}/disable", need(keys.KeysAdmin), admin.SetState(keys.Disabled), doc{
			id: "disableKey", summary: "Refuse a key until it is enabled again",
			request: handlers.KeyByID{}, answer: ex.disabled, fails: fails(fault.NotFound, fault.Conflict),
		}},
		{"POST", "/service/keys/{id}/enable", need(keys.KeysAdmin), admin.SetState(keys.Enabled), doc{
			id: "enableKey", summary: "Accept a disabled key again",
			request: handlers.KeyByID{}, answer: ex.key, fails: fails(fault.NotFound, fault.Conflict),
		}},
		{"POST", "/service/keys/{id}/revoke", need(keys.KeysAdmin), admin.Revoke, doc{
			id: "revokeKey", summary: "Refuse a key for ever",
			request: handlers.RevokeKey{}, answer: ex.revoked, or: handlers.ConfirmedKey{}, fails: fails(fault.NotFound),
		}},
		{"GET", "/service/audit", need(keys.KeysAdmin), audit.List, doc{
			id: "listAudit", summary: "What was changed, and who was refused, oldest first", request: handlers.ListAudit{},
			answer: ex.events, fails: fails(fault.Invalid, fault.Timeout),
		}},
	}
}

// addRoutes registers the routes of the table, and their documentation.
func (a *App) addRoutes() error {
	rows := table(a.store, a.keyring, handlers.Ready(a.ready))
	document, err := openAPI(rows, a.version)
	if err != nil {
		return fmt.Errorf("document the routes: %w", err)
	}
	for _, r := range rows {
		a.add(r)
	}
	if a.config.DocsEnabled {
		docs, err := handlers.NewDocs(document)
		if err != nil {
			return err
		}
		a.add(route{method: "GET", path: "/openapi.json", handler: docs.Document})
		a.add(route{method: "GET", path: "/docs", handler: docs.Page})
		a.add(route{method: "GET", path: "/docs/*", handler: docs.Asset})
	}
	return nil
}

// add registers a route behind its guard. Refusals at routes for administrators are audited.
func (a *App) add(r route) {
	chain := []fiber.Handler{middleware.Route(r.path, r.guard.closed)}
	if r.guard.scope == keys.KeysAdmin {
		chain = append(chain, a.guard.Audited(a.config.TrustedProxies))
	}
	if r.guard.closed {
		chain = append(chain, a.guard.Protect(r.guard.scope)...)
	}
	chain = append(chain, r.handler)
	if r.method == fiber.MethodGet {
		a.fiber.Get(fiberPath(r.path), chain...) // registers HEAD as well
		return
	}
	a.fiber.Add(r.method, fiberPath(r.path), chain...)
}
