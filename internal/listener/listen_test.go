package listener

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
)

// flooded is a listener whose Accept fails with each of errs once, and then returns conn.
type flooded struct {
	net.Listener

	errs []error
	conn net.Conn
}

func (f *flooded) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		return f.conn, nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
}

func (f *flooded) Close() error { return nil }

func patient(errs ...error) *patientListener {
	conn, _ := net.Pipe()
	return &patientListener{
		Listener: &flooded{errs: errs, conn: conn},
		logger:   slog.New(slog.DiscardHandler), ending: make(chan struct{}),
	}
}

func TestAcceptRetriesTemporaryErrors(t *testing.T) {
	l := patient(syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.EMFILE, syscall.ENOMEM, syscall.EHOSTUNREACH)
	if conn, err := l.Accept(); err != nil || conn == nil {
		t.Errorf("the listener ended: %v", err)
	}
	if _, err := patient(syscall.EINVAL).Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("an error that is not temporary: %v", err)
	}
	closing := patient(syscall.EMFILE, syscall.EMFILE)
	if err := closing.Close(); err != nil {
		t.Fatal(err)
	}
	if err := closing.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := closing.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("still waits although it is closed: %v", err)
	}
}
