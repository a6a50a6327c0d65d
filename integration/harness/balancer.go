package harness

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// Balancer is a reverse proxy with health checks: it polls /readyz of each instance, and sends requests to the ready ones in
// turn. It never retries, so a client sees every failure of an instance.
type Balancer struct {
	URL       string
	Instances []*Instance
	next      atomic.Int64
}

// Instance is one address behind the balancer. The process there changes with each restart.
type Instance struct {
	address string // host and port
	Ready   atomic.Bool
	Served  atomic.Int64
	// reused keeps connections, fresh opens one for each request.
	reused, fresh *httputil.ReverseProxy
}

// pollEvery is the interval of the health checks.
const pollEvery = 100 * time.Millisecond

// StartBalancer starts a balancer for these addresses until the test ends.
func StartBalancer(t *testing.T, addresses ...string) *Balancer {
	t.Helper()
	b := &Balancer{}
	for _, address := range addresses {
		target := &url.URL{Scheme: "http", Host: address}
		in := &Instance{address: address, reused: forwarder(t, target, false), fresh: forwarder(t, target, true)}
		b.Instances = append(b.Instances, in)
		go in.watch(t.Context())
	}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.URL = server.URL
	return b
}

// forwarder sends requests to target. When that fails it answers 502 with the reason.
func forwarder(t *testing.T, target *url.URL, fresh bool) *httputil.ReverseProxy {
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = SentOnce{NewTransport(t, fresh)}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, "balancer: "+err.Error(), http.StatusBadGateway)
	}
	return proxy
}

// NewTransport opens a connection for each request (fresh), or reuses connections.
func NewTransport(t *testing.T, fresh bool) *http.Transport {
	made := &http.Transport{DisableCompression: true, DisableKeepAlives: fresh, MaxIdleConnsPerHost: 100}
	t.Cleanup(made.CloseIdleConnections)
	return made
}

// watch sets Ready from /readyz.
func (in *Instance) watch(ctx context.Context) {
	client := &http.Client{Timeout: StartTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+in.address+"/readyz", nil)
		a, err := client.Do(r)
		if err == nil {
			_ = a.Body.Close()
		}
		in.Ready.Store(err == nil && a.StatusCode == http.StatusOK)
	}
}

func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first := int(b.next.Add(1))
	for i := range b.Instances {
		in := b.Instances[(first+i)%len(b.Instances)]
		if !in.Ready.Load() {
			continue
		}
		in.Served.Add(1)
		if r.Close {
			in.fresh.ServeHTTP(w, r)
		} else {
			in.reused.ServeHTTP(w, r)
		}
		return
	}
	http.Error(w, "balancer: no instance is ready", http.StatusBadGateway)
}

// SentOnce is a transport that fails when net/http has sent a request again on a new connection, which it does silently when
// the old connection broke.
type SentOnce struct{ http.RoundTripper }

// RoundTrip fails when the transport sent the request more than once.
func (s SentOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent atomic.Int32
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Add(1) }})
	a, err := s.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err == nil && sent.Load() != 1 {
		_ = a.Body.Close()
		return nil, fmt.Errorf("the request was sent %d times", sent.Load())
	}
	return a, err
}
