package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/internal/listener"
	"github.com/latchkey-api/latchkey/middleware"
)

// opsConnections is the maximum of open connections of the operations address. It is small, because they need memory and
// descriptors too: the API has half of the descriptors, and the store needs the rest.
func opsConnections() int {
	const most = 64
	return min(most, max(1, listener.Descriptors()/8))
}

// opsServer is the operations address: metrics, health, and profiles in development. It uses net/http, which does not keep
// a body in memory.
type opsServer struct {
	url    string
	server *http.Server
}

// serveOps starts the operations address; without OPS_ADDR there is none.
func (a *App) serveOps(ctx context.Context) (*opsServer, error) {
	if a.config.OpsAddr == "" {
		return &opsServer{}, nil
	}
	inner, err := listener.Listen(ctx, "OPS_ADDR", a.config.OpsAddr, a.logger)
	if err != nil {
		return nil, err
	}
	places := listener.NewNewest(inner, opsConnections())
	server := &http.Server{
		Handler:                      a.opsRoutes(),
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout, // a profile adds its own time
		IdleTimeout:                  a.config.IdleTimeout,
		MaxHeaderBytes:               middleware.ReadBufferSize,
		DisableGeneralOptionsHandler: true,
		// The default logger would block when nobody reads standard error.
		ErrorLog: slog.NewLogLogger(a.logger.Handler(), slog.LevelWarn),
		ConnState: func(conn net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				places.Renew(conn)
			}
		},
	}
	go func() {
		if err := server.Serve(places); !errors.Is(err, http.ErrServerClosed) {
			a.logger.Error("the operations address ended", "error", err.Error())
		}
	}()
	host, _, _ := net.SplitHostPort(a.config.OpsAddr)
	return &opsServer{url: "http://" + listener.Reachable(host, inner.Addr()), server: server}, nil
}

func (o *opsServer) close() error {
	if o.server == nil {
		return nil
	}
	return o.server.Close()
}

// opsRoutes answers GET and HEAD. Bodies are not read, so the connection of a request with a body is closed.
func (a *App) opsRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", oneAtATime(promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}), pagePause))
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { opsHealthy(w) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := a.ready(r.Context()); err != nil {
			opsRefuse(w, fault.Wrap(fault.Unavailable, err))
			return
		}
		opsHealthy(w)
	})
	if a.config.AppEnv == configs.Development {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
		}
		switch handler, pattern := mux.Handler(r); {
		case (r.Host != "" || r.ProtoAtLeast(1, 1)) && !middleware.SoundHost(r.Host):
			opsRefuse(w, fault.New(fault.BadRequest))
		case pattern == "":
			opsRefuse(w, fault.New(fault.NotFound))
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			opsRefuse(w, fault.New(fault.MethodNotAllowed))
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

// pagePause is the pause after a page of metrics. A page takes a millisecond of work.
const pagePause = 10 * time.Millisecond

// oneAtATime lets inner make one page at a time, with a pause between them, so that frequent requests cannot take the CPU
// from the API. A page is complete before it is sent, so a client that does not read does not block the others.
func oneAtATime(inner http.Handler, pause time.Duration) http.Handler {
	slot := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slot <- struct{}{}:
		case <-r.Context().Done(): // the client has left
			return
		}
		page := &pageBuffer{ResponseWriter: w, status: http.StatusOK}
		func() {
			defer func() { time.AfterFunc(pause, func() { <-slot }) }()
			inner.ServeHTTP(page, r)
		}()
		w.WriteHeader(page.status)
		_, _ = w.Write(page.body.Bytes()) // fails when the client has left
	})
}

// pageBuffer keeps an answer until it is complete.
type pageBuffer struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

func (p *pageBuffer) WriteHeader(status int)               { p.status = status }
func (p *pageBuffer) Write(text []byte) (n int, err error) { return p.body.Write(text) }

// opsHealthy answers as handlers.Live does.
func opsHealthy(w http.ResponseWriter) {
	body, err := json.Marshal(handlers.Status{Status: "ok"})
	if err != nil { // a string always marshals
		opsRefuse(w, fault.Wrap(fault.Internal, err))
		return
	}
	opsAnswer(w, http.StatusOK, body)
}

// opsRefuse answers a fault as the API does.
func opsRefuse(w http.ResponseWriter, f *fault.Error) {
	if f.Code == fault.Unavailable {
		w.Header().Set("Retry-After", middleware.RetryAfter)
	}
	opsAnswer(w, middleware.StatusOf(f.Code), middleware.Body(f))
}

func opsAnswer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails when the client has left
}
