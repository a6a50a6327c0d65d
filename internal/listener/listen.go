// Package listener has the mechanics of TCP: a listener that survives floods and stops cleanly, connections whose last
// answer arrives, a certificate that is renewed while it is in use, and the addresses in URLs. It knows nothing of keys.
package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Listen opens a TCP listener on address. Its Accept does not fail while the system is short of descriptors or memory: it
// logs that, waits and tries again. Its Close resets no connection that a client has already opened. Errors are sentences
// that begin with setting.
func Listen(ctx context.Context, setting, address string, logger *slog.Logger) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // ignoreNew cannot reach the listener inside a multipath one
	inner, err := config.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is already in use by another process", setting, address)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return nil, fmt.Errorf("%s: %s is no address of this machine", setting, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", setting, address, Reason(err))
	}
	return &patientListener{Listener: inner, logger: logger, ending: make(chan struct{})}, nil
}

// patientListener retries when Accept fails for a temporary reason: no descriptor is free, or the client left before it
// was accepted. The engine would end the service on any error.
//
// It does not end while clients wait either. The system completes a handshake before the connection is accepted, and
// resets such a connection when its listener is closed. So Close only starts the end, and Accept finishes it:
//
//	open ---- Close ----> ending ---- no connection for handshakeTimeout ----> closed
//	 |                    |    ^
//	 |                    |    | each Accept returns a connection that was opened before
//	 |                    +----+
//	 +------- Close, but Accept was never called, or ignoreNew failed -------> closed
//
// In the state "ending" the system ignores new clients (ignoreNew). They try again after about a second, and find the port
// closed or the next process behind it. A Close while Accept waits for a free descriptor leads to "closed" at once.
type patientListener struct {
	net.Listener

	logger   *slog.Logger
	accepted atomic.Bool // Accept was called
	once     sync.Once
	ending   chan struct{} // closed by Close
}

// The backoff of Accept while no descriptor is free.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
)

// handshakeTimeout is how long an ending listener waits for the next connection: handshakes that have begun need time.
const handshakeTimeout = 100 * time.Millisecond

func (l *patientListener) Accept() (net.Conn, error) {
	l.accepted.Store(true)
	backoff := minBackoff
	for {
		ending := l.prepareEnd()
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			return &lingeringConn{Conn: conn}, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if ending {
				return nil, l.end()
			}
			<-l.ending // only Close has set a deadline, and is about to close this channel
			continue
		case errors.Is(err, syscall.ECONNABORTED):
			continue
		case !temporary(err):
			return nil, err
		}
		l.logger.Warn("cannot accept connections", "error", err.Error(), "pause", backoff.String())
		timer := time.NewTimer(backoff)
		select {
		case <-l.ending:
			timer.Stop()
			return nil, l.end()
		case <-timer.C:
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// temporary reports whether Accept may succeed later: the system is short of something, or a waiting connection has
// failed, which accept(2) reports through the listener.
func temporary(err error) bool {
	for _, known := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// Close stops new connections. Accept still returns those that are open, and then ends the listener.
func (l *patientListener) Close() (err error) {
	l.once.Do(func() {
		defer close(l.ending)
		tcp, ok := l.Listener.(*net.TCPListener)
		if !ok || !l.accepted.Load() || ignoreNew(tcp) != nil {
			err = l.Listener.Close()
			return
		}
		err = tcp.SetDeadline(time.Now()) // wakes Accept
	})
	return err
}

// prepareEnd reports whether Close was called. If so, it sets the deadline of the next Accept.
func (l *patientListener) prepareEnd() bool {
	select {
	case <-l.ending:
	default:
		return false
	}
	if tcp, ok := l.Listener.(*net.TCPListener); ok {
		_ = tcp.SetDeadline(time.Now().Add(handshakeTimeout)) // fails on a closed listener, as Accept does then
	}
	return true
}

// end closes the listener. It returns the error that Accept returns from then on.
func (l *patientListener) end() error {
	_ = l.Listener.Close()
	return net.ErrClosed
}
