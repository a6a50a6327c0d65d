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

// Listen opens a TCP listener that survives a flood of connections. setting names the setting in the error.
func Listen(ctx context.Context, setting, address string, logger *slog.Logger) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // ignoreNew would not reach the listener inside of one
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
	return &patientListener{Listener: inner, logger: logger, closed: make(chan struct{})}, nil
}

// patientListener waits and goes on where accepting fails for a reason that passes: no descriptor is free, or the
// client left before it was accepted. The engine takes any such error for the end of the listener.
//
// Nor does it end while somebody waits: the system connects a client before it is accepted, and resets the connection
// when the listener is closed under it.
type patientListener struct {
	net.Listener

	logger    *slog.Logger
	accepting atomic.Bool // Accept was called
	once      sync.Once
	closed    chan struct{} // closed by Close
}

// The pauses between tries, while no descriptor is free.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// lastCall is how long nobody may come for a listener to end: time for a handshake that has begun to be completed.
const lastCall = 100 * time.Millisecond

func (l *patientListener) Accept() (net.Conn, error) {
	l.accepting.Store(true)
	pause := firstPause
	for {
		ending := l.ending()
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			return &lingeringConn{Conn: conn}, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			if ending {
				return nil, l.ended()
			}
			<-l.closed // only Close sets a deadline before that
			continue
		case errors.Is(err, syscall.ECONNABORTED):
			continue
		case !passes(err):
			return nil, err
		}
		l.logger.Warn("cannot accept connections", "error", err.Error(), "pause", pause.String())
		timer := time.NewTimer(pause)
		select {
		case <-l.closed:
			timer.Stop()
			return nil, l.ended()
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
	}
}

// passes says whether accepting may work again: the system is short of something, or it tells what became of a connection
// that waited, which accept(2) says to be no fault of the listener.
func passes(err error) bool {
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

// Close lets nobody else connect. Accept goes on until it has given out everybody who is connected, and then ends the
// listener. One that nobody accepts from ends at once, and so does one that new clients cannot be kept from.
func (l *patientListener) Close() (err error) {
	l.once.Do(func() {
		defer close(l.closed)
		tcp, ok := l.Listener.(*net.TCPListener)
		if !ok || !l.accepting.Load() || ignoreNew(tcp) != nil {
			err = l.Listener.Close()
			return
		}
		err = tcp.SetDeadline(time.Now()) // wakes Accept
	})
	return err
}

// ending says whether Close was called. If so, it gives the next Accept its time.
func (l *patientListener) ending() bool {
	select {
	case <-l.closed:
	default:
		return false
	}
	if tcp, ok := l.Listener.(*net.TCPListener); ok {
		_ = tcp.SetDeadline(time.Now().Add(lastCall)) // fails where the listener has ended, and so does Accept
	}
	return true
}

// ended ends the listener for good.
func (l *patientListener) ended() error {
	_ = l.Listener.Close()
	return net.ErrClosed
}
