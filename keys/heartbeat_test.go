package keys_test

import (
	"context"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// slowHeartbeat is a store whose heartbeats hang, as while others write.
type slowHeartbeat struct {
	keys.Store

	begun, release chan struct{}
}

func (s *slowHeartbeat) Heartbeat(ctx context.Context, instance string, version int64, within time.Duration) (keys.Fleet, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.release
	return s.Store.Heartbeat(ctx, instance, version, within)
}

func TestHeartbeatThatHangsDelaysNoRevocation(t *testing.T) {
	s := openStore(t)
	slow := &slowHeartbeat{s, make(chan struct{}, 1), make(chan struct{})}
	ring, admin := newRing(t, slow), newRing(t, s)
	poll(t, ring)
	record, _ := create(t, admin)
	held, err := ring.Find(record.ID)
	if err != nil {
		t.Fatal(err)
	}
	during(t, ring, func() {
		defer close(slow.release)
		within(t, 20*time.Second, "a heartbeat begins", func() bool { return len(slow.begun) > 0 })
		revoke(t, admin, record.ID)
		// Stale, and not only refused: with an old snapshot, reading from the store would refuse the key, too.
		within(t, 20*time.Second, "the cached key is stale", held.Stale)
		wantCall(t, ring, record.ID, fault.APITokenIncorrect)
	})
}
