package store_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/store"
)

// A restore may be killed at any moment: the old store is there, or the new one.
func TestRestoreThatIsKilledLeavesOneOfTheTwo(t *testing.T) {
	file, backup := twoStores(t)
	theKeys := texts(t, file, everyKey)
	outcomes := map[string]int{}
	for range 25 {
		killedWhileServing(t, file)
		p := startChild(t, "restore", file, childBackup+"="+backup)
		<-time.After(rand.N(60 * time.Millisecond)) // in the middle of whatever it is doing then
		kill(t, p)
		said := p.rest()
		s, err := store.Open(t.Context(), serving(file))
		if err != nil {
			t.Fatalf("after %q: %v", said, err)
		}
		closeNow(t, s)
		isOne(t, "integrity", texts(t, file, integrity), "ok")
		isOne(t, "the keys", texts(t, file, everyKey), theKeys...)
		outcome := "old"
		if found := texts(t, file, everyAccount); len(found) == 1 {
			outcome = "new"
		} else if len(found) < 20 {
			t.Fatalf("the accounts are a mixture: %q", found)
		}
		if len(said) > 0 && (said[0] != "restored" || outcome != "new") {
			t.Fatalf("it said %q, and the store is the %s one", said, outcome)
		}
		outcomes[outcome]++
	}
	t.Log(outcomes)
	// The next one cleans up.
	restored(t, file, backup, false)
	if left := names(t, filepath.Dir(file)); !slices.Equal(left, []string{"latchkey.db", "latchkey.db-incarnation"}) {
		t.Errorf("left %q", left)
	}
}

// A server that starts during a restore serves one of the two stores or does not start. What it acknowledged is there.
func TestRestoreDuringTheStartOfAServer(t *testing.T) {
	for _, revive := range []bool{false, true} {
		file, backup := twoStores(t)
		for range 10 {
			if revive {
				write(t, file+"-wal", "")
				write(t, file, "no store")
			}
			began := make(chan error)
			go func() {
				_, err := store.Restore(t.Context(), options(file), store.Backed{File: backup, Revive: revive, Event: restoring})
				began <- err
			}()
			<-time.After(rand.N(10 * time.Millisecond)) // in the middle of whatever it is doing then
			p := startChild(t, "serve", file)
			restoreErr := <-began
			var acknowledged []string
			for range 20 {
				if !p.lines.Scan() {
					break
				}
				acknowledged = append(acknowledged, p.lines.Text())
			}
			kill(t, p)
			acknowledged = append(acknowledged, p.rest()...)
			if len(acknowledged) > 0 && strings.HasPrefix(acknowledged[0], "failed") {
				isSentence(t, errors.New(acknowledged[0]), file)
				acknowledged = nil
			}
			if restoreErr != nil {
				isSentence(t, restoreErr, file)
			}
			if revive && restoreErr != nil {
				continue
			}
			s := openAt(t, file)
			for _, id := range acknowledged {
				if _, err := s.AccountByID(t.Context(), id); err != nil {
					t.Errorf("%q was acknowledged: %v; the restore says %v", id, err, restoreErr)
				}
			}
			closeNow(t, s)
			isOne(t, "integrity", texts(t, file, integrity), "ok")
		}
	}
}
