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

// opsConnections is how many connections the operations address may have open: few, because they take memory and
// descriptors from the API. With half of the descriptors for the API's connections, the store keeps its own.
func opsConnections() int {
	const most = 64
	return min(most, max(1, listener.Descriptors()/8))
}

// opsServer is the operations address: metrics, health, and profiles in development. It is plain net/http: nothing of a
// body is kept, and no request can hold more than its connection.
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
		// Its own logger would wait for whoever reads standard error.
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

// opsRoutes answers GET and HEAD. A request with a body is answered, too, and the last on its connection: nobody reads it.
func (a *App) opsRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", inTurn(promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}), pageEvery))
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

// pageEvery is the time from one page of metrics to the next. A page takes a millisecond of work.
const pageEvery = 10 * time.Millisecond

// inTurn makes the pages of inner one after the other, whole before they are sent, with a pause between them: whoever asks
// again and again must not have the time of the API. Nobody waits for somebody who does not read.
func inTurn(inner http.Handler, pause time.Duration) http.Handler {
	turn := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
		case <-r.Context().Done(): // nobody waits for it any more
			return
		}
		page := &heldPage{ResponseWriter: w, status: http.StatusOK}
		func() {
			defer func() { time.AfterFunc(pause, func() { <-turn }) }()
			inner.ServeHTTP(page, r)
		}()
		w.WriteHeader(page.status)
		_, _ = w.Write(page.body.Bytes()) // a client that is gone needs no page
	})
}

// heldPage is an answer that is kept until it is whole.
type heldPage struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

func (p *heldPage) WriteHeader(status int)               { p.status = status }
func (p *heldPage) Write(text []byte) (n int, err error) { return p.body.Write(text) }

// opsHealthy answers as handlers.Live does.
func opsHealthy(w http.ResponseWriter) {
	body, err := json.Marshal(handlers.Status{Status: "ok"})
	if err != nil { // a string always marshals
		opsRefuse(w, fault.Wrap(fault.Internal, err))
		return
	}
	opsAnswer(w, http.StatusOK, body)
}

// opsRefuse answers a failure as the API does.
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
	_, _ = w.Write(body) // a client that is gone needs no answer
}
