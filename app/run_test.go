package app

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
)

// hangsAtTheEnd is a store whose Leave hangs and ignores the deadline.
type hangsAtTheEnd struct {
	keys.Store

	release chan struct{}
}

func (h hangsAtTheEnd) Leave(context.Context, string) error {
	<-h.release
	return nil
}

func TestStopDoesNotWaitForAHangingStore(t *testing.T) {
	var log bytes.Buffer
	a := newApp(t, testConfig(t), &log)
	hanging := hangsAtTheEnd{a.store, make(chan struct{})}
	var err error
	if a.keyring, err = NewKeyring(a.config, hanging, a.logger, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(hanging.release) })
	_, stop, done := running(t, a)
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(keyringTimeout + 20*time.Second):
		t.Fatal("it has not stopped")
	}
	if !strings.Contains(log.String(), "the store did not take what was noted of keys in time") {
		t.Errorf("the log does not say what was lost:\n%s", log.String())
	}
}
