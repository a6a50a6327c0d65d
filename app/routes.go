package app

import (
	"fmt"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/middleware"
	"github.com/latchkey-api/latchkey/store"
	"github.com/latchkey-api/latchkey/token"
)

// route is one row of the table.
type route struct {
	method, path string // path as OpenAPI spells it: /service/account/{username}
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

// table is every route of the service. What stands here is documented from here, too: a row without documentation is an
// error at start.
func table(s *store.Store, ready fiber.Handler) []route {
	accounts, spaces := &handlers.Accounts{Store: s}, &handlers.Storyspaces{Store: s}
	stevenm := handlers.Account{ID: "2112", Username: "stevenm"}
	alice := handlers.Account{ID: "mrs7x2ptmcfyhuwzq3mqkdzwae", Username: "alice", Email: "alice@example.com"}
	barfood := handlers.Storyspace{ID: "2113", Name: "barfood"}
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
			request: handlers.AccountByUsername{}, answer: stevenm, fails: fails(fault.NotFound, fault.Unavailable),
		}},
		{"GET", "/service/account/", need(keys.AccountsRead), accounts.ByID, doc{
			id: "getAccountByID", summary: "An account by its id",
			request: handlers.AccountByID{}, answer: stevenm, fails: fails(fault.NotFound, fault.Invalid, fault.Unavailable),
		}},
		{"POST", "/service/account/register", need(keys.AccountsWrite), accounts.Register, doc{
			id: "registerAccount", summary: "Register an account",
			request: handlers.RegisterAccount{Username: "alice", Email: "alice@example.com"},
			answer:  alice, created: true, fails: fails(fault.Conflict, fault.Unavailable),
		}},
		{"GET", "/service/storyspaces/", need(keys.StoryspacesRead), spaces.List, doc{
			id: "listStoryspaces", summary: "The storyspaces of a user, oldest first",
			request: handlers.StoryspacesOf{}, fails: fails(fault.Invalid, fault.Unavailable),
			answer: []handlers.Storyspace{{ID: "1", Name: "barfood"}, {ID: "2", Name: "bazbars"}},
		}},
		{"GET", "/service/storyspaces/{id}", need(keys.StoryspacesRead), spaces.ByID, doc{
			id: "getStoryspace", summary: "A storyspace by its id",
			request: handlers.StoryspaceByID{}, answer: barfood, fails: fails(fault.NotFound, fault.Unavailable),
		}},
		{"POST", "/service/storyspaces/begin", need(keys.StoryspacesWrite), spaces.Begin, doc{
			id: "beginStoryspace", summary: "Begin a storyspace",
			request: handlers.BeginStoryspace{Username: "stevenm", Name: "foobar"},
			answer:  handlers.Storyspace{ID: "wqj5d6slm3vxq2rcn7ktyafezi", Name: "foobar"}, created: true,
			fails: fails(fault.NotFound, fault.Unavailable),
		}},
		{"GET", "/service/whoami", anyKey(), handlers.WhoAmI, doc{
			id: "whoAmI", summary: "The caller's own key and scopes",
			answer: handlers.Caller{
				Key: "shared", Client: "shared", ExpiresAt: "2026-11-23T12:00:00Z",
				Scopes: []string{"accounts:read", "accounts:write", "storyspaces:read", "storyspaces:write"},
			},
		}},
	}
}

// addRoutes puts the table, and the documentation made from it, on the framework.
func (a *App) addRoutes(keyring *keys.Keyring, policy *token.Policy) error {
	rows := table(a.store, handlers.Ready(a.ready))
	document, err := openAPI(rows)
	if err != nil {
		return fmt.Errorf("document the routes: %w", err)
	}
	guards := middleware.Guard(keyring, policy)
	for _, r := range rows {
		a.add(r, guards)
	}
	if a.config.DocsEnabled {
		docs := handlers.NewDocs(document)
		a.add(route{method: "GET", path: "/openapi.json", handler: docs.Document}, guards)
		a.add(route{method: "GET", path: "/docs", handler: docs.Page}, guards)
		a.add(route{method: "GET", path: "/docs/*", handler: docs.Asset}, guards)
	}
	return nil
}

func (a *App) add(r route, guards []fiber.Handler) {
	chain := []fiber.Handler{middleware.Route(r.path, r.guard.closed)}
	if r.guard.closed {
		chain = append(chain, guards...)
	}
	if r.guard.scope != "" {
		chain = append(chain, middleware.Scope(r.guard.scope))
	}
	chain = append(chain, r.handler)
	if r.method == fiber.MethodGet {
		a.fiber.Get(fiberPath(r.path), chain...) // which answers HEAD as well
		return
	}
	a.fiber.Add(r.method, fiberPath(r.path), chain...)
}
