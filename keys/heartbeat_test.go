package keys_test

import (
	"context"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// slowBeat is a store that takes a beat as slowly as one in which others are writing.
type slowBeat struct {
	keys.Store

	begun, release chan struct{}
}

func (s *slowBeat) Heartbeat(ctx context.Context, instance string, version int64, within time.Duration) (keys.Fleet, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.release
	return s.Store.Heartbeat(ctx, instance, version, within)
}

func TestHeartbeatThatHangsDelaysNoRevocation(t *testing.T) {
	s := openStore(t)
	slow := &slowBeat{s, make(chan struct{}, 1), make(chan struct{})}
	ring, admin := newRing(t, slow), newRing(t, s)
	poll(t, ring)
	record, _ := create(t, admin)
	held, err := ring.Find(record.ID)
	if err != nil {
		t.Fatal(err)
	}
	during(t, ring, func() {
		defer close(slow.release)
		within(t, 20*time.Second, "a beat", func() bool { return len(slow.begun) > 0 })
		revoke(t, admin, record.ID)
		// An old view refuses the key, too, but only because it asks the store at each request.
		within(t, 20*time.Second, "the instance has heard of it", held.Stale)
		wantCall(t, ring, record.ID, fault.APITokenIncorrect)
	})
}
