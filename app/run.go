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

// Run listens, serves until ctx ends, and drains. It calls started with the URL of the service when it can be reached. It
// returns nil after a clean stop.
//
// The stop has three steps:
//  1. For DRAIN_DELAY, the service is not ready but still serves, so that a balancer notices. Each answer asks the client
//     to close its connection.
//  2. It stops listening. Requests that are under way have SHUTDOWN_TIMEOUT to end.
//  3. The keyring writes its notes, and at the very end the operations address is closed.
func (a *App) Run(ctx context.Context, started func(url string)) error {
	defer a.logMigrations() // for a start that fails before the line with the addresses
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

// keyringTimeout is how long the keyring may take to write its notes when the service stops.
const keyringTimeout = 3 * time.Second

// followStore starts the keyring, which follows changes in the store until end is called: after the last request, and before
// the store is closed. When followStore returns, the keyring is up to date, and the other instances know this one.
func (a *App) followStore(ctx context.Context) (end func()) {
	if err := a.keyring.Start(ctx); err != nil {
		a.logger.Warn("the store cannot be followed yet", "error", err) // until then, each request reads the store
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		a.keyring.Run(following, a.config.AuditRetention)
	}()
	return func() {
		stop()
		timeout := time.NewTimer(keyringTimeout)
		defer timeout.Stop()
		select {
		case <-followed:
		case <-timeout.C:
			a.logger.Warn("the store did not take what was noted of keys in time", "limit", keyringTimeout.String())
		}
	}
}

// errListener is the reason when the service ends without being told to.
var errListener = errors.New("the listener ended by itself")

// stopped is err, or nil when ctx has ended: then the error comes from the stop.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the stop was asked for
	}
	return err
}

// drain is the stop that Run describes, up to the end of the last request.
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
	// The engine may not have started to use the listener, and then it would not close it.
	_ = public.Close()
	// Fiber's Listener returns before the last request has ended, ShutdownWithContext after it. A client that has connected
	// but not sent anything yet may take readTimeout for its first request.
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
