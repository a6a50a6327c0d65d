package keys_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// replaced is a store whose server another one may take the place of.
type replaced struct {
	keys.Store

	began time.Time
}

func (r *replaced) KeyChanges(ctx context.Context, since int64, most int) (keys.Changes, error) {
	changes, err := r.Store.KeyChanges(ctx, since, most)
	changes.Began = r.began
	return changes, err
}

// The store loses its last changes, as when it is restored, or when a server that was behind takes another one's place.
// The versions that they had are given once more, to other changes, perhaps before this instance asks again.
func TestAStoreThatFellBackIsBelieved(t *testing.T) {
	for name, asksBetween := range map[string]bool{"asked before it went on": true, "asked when it had gone on": false} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "latchkey.db")
			s, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + file, Environment: "development"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			server := &replaced{s, time.Unix(1, 0)}
			ring, admin := newRing(t, server), newRing(t, s)
			record, _ := create(t, admin)
			for _, state := range []keys.State{keys.Disabled, keys.Enabled} { // the changes that will be lost
				if _, err := admin.SetState(t.Context(), cli(), record.ID, state); err != nil {
					t.Fatal(err)
				}
			}
			poll(t, ring)
			if err := call(ring, record.ID); err != nil {
				t.Fatal(err)
			}

			other, err := sql.Open("sqlite", file)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if _, err := other.Exec("UPDATE keys SET version = 1; UPDATE key_version SET value = 1"); err != nil {
				t.Fatal(err)
			}
			if asksBetween {
				poll(t, ring)
			} else {
				server.began = time.Unix(2, 0)
			}
			revoke(t, admin, record.ID)
			create(t, admin)
			poll(t, ring)
			wantCall(t, ring, record.ID, fault.APITokenIncorrect)
		})
	}
}
