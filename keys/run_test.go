package keys_test

import (
	"context"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
)

// during runs a keyring, calls f, stops it and waits until it has written everything.
func during(t *testing.T, ring *keys.Keyring, f func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ring.Run(ctx, time.Hour)
	}()
	f()
	stop()
	<-ended
}

// within fails unless done becomes true in time.
func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
