package keys_test

import (
	"context"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
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

func TestLastUseIsWrittenOnceAMinute(t *testing.T) {
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	record, _ := create(t, ring)
	unused, _ := create(t, ring)
	during(t, ring, func() {
		for range 1000 {
			if err := call(ring, record.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
	read, err := s.Store.Key(t.Context(), record.ID)
	if want := now.now().Truncate(time.Minute); err != nil || !read.LastUsedAt.Equal(want) {
		t.Errorf("last used %v, want %v: %v", read.LastUsedAt, want, err)
	}
	if read.Version != record.Version {
		t.Error("being used counts as a change: every instance would read the key again")
	}
	if read, _ := s.Store.Key(t.Context(), unused.ID); !read.LastUsedAt.IsZero() {
		t.Errorf("a key that was not used was used at %v", read.LastUsedAt)
	}
}

func TestRefusalsOfOneSecondAreOneRow(t *testing.T) {
	s, now := openStore(t), newClock()
	ring := newRing(t, s, func(o *keys.Options) { o.Now = now.now })
	during(t, ring, func() {
		for _, actor := range []string{"E0123456789a", "E0123456789b"} {
			for range 500 {
				ring.Refused(keys.Actor{Key: actor, RequestID: "r", Address: "a"}, "POST /service/keys")
			}
		}
		now.forward(time.Second)
		ring.Refused(keys.Actor{Key: "E0123456789a"}, "GET /service/keys")
	})
	events, _, err := s.Audit(t.Context(), store.AuditFilter{}, store.Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, event := range events {
		if event.Action != keys.ActionRefused {
			t.Errorf("action %q", event.Action)
		}
		counts[event.Actor.Key+" "+event.Target] = event.Count
	}
	if len(events) != 3 || counts["E0123456789a POST /service/keys"] != 500 || counts["E0123456789b POST /service/keys"] != 500 || counts["E0123456789a GET /service/keys"] != 1 {
		t.Errorf("the audit has %v", counts)
	}
}
