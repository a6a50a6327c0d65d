package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/latchkey-api/latchkey/internal/listener"
)

// Run listens, serves until ctx ends, and drains. started is called once the service can be reached, with its URL. A
// clean stop is no error.
//
// The stop, in order: the service says that it is not ready and asks every client to close its connection, but goes on
// serving for DRAIN_DELAY, in which a balancer notices; then it stops listening and lets what is under way end, for at
// most SHUTDOWN_TIMEOUT; the operations address answers to the end.
func (a *App) Run(ctx context.Context, started func(url string)) error {
	defer a.logMigrations() // where it does not come to the line with the addresses
	public, err := listener.Listen(ctx, "HOST and PORT", net.JoinHostPort(a.config.Host, strconv.Itoa(a.config.Port)), a.logger)
	if err != nil {
		return stopped(ctx, err)
	}
	scheme, host := "http", a.config.Host
	if a.certificate != nil {
		settings := a.certificate.Config()
		public, scheme, host = tls.NewListener(public, settings), "https", listener.CertifiedHost(host, settings)
	}
	if len(a.config.CORSOrigins) > 0 {
		public = listener.NewOrigin(public)
	}
	ops, err := a.serveOps(ctx)
	if err != nil {
		return errors.Join(stopped(ctx, err), public.Close())
	}
	url := scheme + "://" + listener.Reachable(host, public.Addr())
	a.logger.Info("serving", "url", url, "ops_url", ops.url, "environment", string(a.config.AppEnv), "version", a.version)
	a.logMigrations()
	if a.config.OTLPEndpoint != "" {
		a.logger.Warn("OTEL_EXPORTER_OTLP_ENDPOINT is set, but this version sends no traces")
	}

	unfollow := a.followStore(ctx)
	served := make(chan error, 1)
	go func() { served <- a.fiber.Listener(public) }()
	started(url)
	select {
	case err := <-served:
		unfollow()
		return errors.Join(errListener, err, ops.close())
	case <-ctx.Done():
	}
	a.logger.Info("stopping", "drain_delay", a.config.DrainDelay.String(), "shutdown_timeout", a.config.ShutdownTimeout.String())
	err = a.drain(context.WithoutCancel(ctx), public, served)
	unfollow()
	a.logger.Info("stopped")
	return errors.Join(err, ops.close())
}

// farewell is how long the keyring may take to write what it noted, when the service stops.
const farewell = 3 * time.Second

// followStore lets the keyring follow the store until the function that it returns is called: after the last request is
// answered, and before the store closes. What the keyring knows is as new as the store before the first request comes,
// and the other instances know of this one.
func (a *App) followStore(ctx context.Context) (end func()) {
	if err := a.keyring.Start(ctx); err != nil {
		a.logger.Warn("the store cannot be followed yet", "error", err) // each request asks it instead
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		a.keyring.Run(following, a.config.AuditRetention)
	}()
	return func() {
		stop()
		limit := time.NewTimer(farewell)
		defer limit.Stop()
		select {
		case <-followed:
		case <-limit.C:
			a.logger.Warn("the store did not take what was noted of keys in time", "limit", farewell.String())
		}
	}
}

// errListener is why a service that nobody stopped ends.
var errListener = errors.New("the listener ended by itself")

// stopped makes an error that came of being asked to stop none.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was asked to stop, and did
	}
	return err
}

// drain ends the service as Run says.
func (a *App) drain(ctx context.Context, public net.Listener, served <-chan error) error {
	a.draining.Store(true)
	delay := time.NewTimer(a.config.DrainDelay)
	defer delay.Stop()
	select {
	case err := <-served:
		return errors.Join(errListener, err)
	case <-delay.C:
	}
	ctx, cancel := context.WithTimeout(ctx, a.config.ShutdownTimeout)
	defer cancel()
	// The engine closes only a listener that it has seen, and it may not have come to that.
	_ = public.Close()
	// It returns from serving before the requests under way have ended, and from ShutdownWithContext after. A client that
	// has connected and not yet sent anything has the time of a first request, readTimeout.
	err := a.fiber.ShutdownWithContext(ctx)
	select {
	case ended := <-served:
		err = errors.Join(err, ended)
	case <-ctx.Done():
	}
	if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return fmt.Errorf("SHUTDOWN_TIMEOUT: requests were still under way after %s", a.config.ShutdownTimeout)
	}
	return err
}
