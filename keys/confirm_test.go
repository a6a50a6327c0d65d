package keys_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/keys"
)

// timeOnly is a context like that of a request: it has a deadline, but does not end by itself.
type timeOnly struct {
	context.Context

	deadline time.Time
}

func (c timeOnly) Deadline() (time.Time, bool) { return c.deadline, true }

// The instance has a heartbeat and does not poll, and the caller has less than 3 s.
func TestConfirmEndsWithCaller(t *testing.T) {
	s := openStore(t)
	deaf := &watched{Store: s.Store}
	var stuck atomic.Bool
	release := make(chan struct{})
	deaf.afterChanges = func() {
		if stuck.Load() {
			<-release
		}
	}
	ring, admin := newRing(t, deaf), newRing(t, s, func(o *keys.Options) { o.Instance = "admin" })
	record, _ := create(t, admin)
	during(t, ring, func() {
		defer close(release)
		within(t, 20*time.Second, "the instance is live", func() bool {
			confirmed, _, err := admin.Confirm(t.Context(), record.Version)
			return err == nil && len(confirmed) == 1
		})
		stuck.Store(true)
		record, err := admin.SetState(t.Context(), cli(), record.ID, keys.Revoked)
		if err != nil {
			t.Fatal(err)
		}
		for _, limited := range []func(time.Duration) context.Context{
			func(d time.Duration) context.Context { return timeOnly{t.Context(), time.Now().Add(d)} },
			func(d time.Duration) context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				t.Cleanup(cancel)
				return ctx
			},
		} {
			confirmed, late, err := admin.Confirm(limited(time.Second), record.Version)
			if err != nil || len(confirmed) != 0 || !slices.Equal(late, []string{"this"}) {
				t.Errorf("cut short: %v %v %v", confirmed, late, err)
			}
			// Without time to ask the store, the result is an error: an empty answer would say that there is no other instance.
			if confirmed, late, err := admin.Confirm(limited(0), record.Version); err == nil {
				t.Errorf("without any time: %v %v", confirmed, late)
			}
		}
	})
}

// An instance that has not polled has version 0 and confirms nothing: what it has cached may be older than the change.
func TestConfirmBeforeFirstPoll(t *testing.T) {
	s := openStore(t)
	slow := &watched{Store: s.Store}
	release := make(chan struct{})
	slow.afterChanges = func() { <-release }
	ring, admin := newRing(t, slow), newRing(t, s, func(o *keys.Options) { o.Instance = "admin" })
	record, _ := create(t, admin)
	during(t, ring, func() {
		defer close(release)
		within(t, 20*time.Second, "the instance is live", func() bool {
			live, err := s.Instances(t.Context(), time.Minute)
			return err == nil && len(live) == 1
		})
		confirmed, late, err := admin.Confirm(t.Context(), record.Version)
		if err != nil || len(confirmed) != 0 || !slices.Equal(late, []string{"this"}) {
			t.Errorf("before its first poll: %v %v %v", confirmed, late, err)
		}
	})
}

func TestConfirm(t *testing.T) {
	s := openStore(t)
	admin := newRing(t, s, func(o *keys.Options) { o.Instance = "admin" })
	ring := newRing(t, s)
	revoke := func() keys.Record {
		t.Helper()
		record, _ := create(t, admin)
		record, err := admin.SetState(t.Context(), cli(), record.ID, keys.Revoked)
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	if confirmed, late, err := admin.Confirm(t.Context(), revoke().Version); err != nil || len(confirmed)+len(late) != 0 {
		t.Errorf("without any instance: %v %v %v", confirmed, late, err)
	}
	during(t, ring, func() {
		within(t, 5*time.Second, "the instance is live", func() bool {
			live, err := s.Instances(t.Context(), 3*time.Second)
			return err == nil && len(live) == 1
		})
		confirmed, late, err := admin.Confirm(t.Context(), revoke().Version)
		if err != nil || len(confirmed) != 1 || len(late) != 0 || confirmed[0].Instance != "this" || confirmed[0].After > time.Second {
			t.Errorf("with one instance: %v %v %v", confirmed, late, err)
		}
	})
	if live, err := s.Instances(t.Context(), time.Hour); err != nil || len(live) != 0 {
		t.Errorf("a stopped instance is still live: %v %v", live, err)
	}
	// An instance with a heartbeat that does not poll is late.
	if _, err := s.Heartbeat(t.Context(), "stuck", 0, time.Minute); err != nil {
		t.Fatal(err)
	}
	if confirmed, late, err := admin.Confirm(t.Context(), revoke().Version); err != nil || len(confirmed) != 0 || len(late) != 1 || late[0] != "stuck" {
		t.Errorf("with a stuck instance: %v %v %v", confirmed, late, err)
	}
}
