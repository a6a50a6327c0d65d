package store

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
)

// forever is when a test gives up that would not end without the interruption.
const forever = 20 * time.Second

func TestListEndsWithItsRequest(t *testing.T) {
	tests := map[string]string{
		"before its first row": `WITH RECURSIVE n(i) AS (SELECT $1 + $2 UNION ALL SELECT i + 1 FROM n)
			SELECT i, 0, '', '', '', '', '', 0 FROM n WHERE i < 0`,
		"between two rows": `WITH RECURSIVE n(i) AS (SELECT $1 + $2 UNION ALL SELECT i + 1 FROM n)
			SELECT i, 0, '', '', '', '', '', 0 FROM n WHERE i = $2`,
	}
	for name, endless := range tests {
		t.Run(name, func(t *testing.T) {
			s := openTemp(t)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				_, _, err := list(ctx, s, ListAudit, Page{Size: 50}, scanEvent, pagedQuery{sqlite: endless})
				ended <- err
			}()
			select {
			case err := <-ended:
				if fault.CodeOf(err) != fault.Timeout {
					t.Errorf("got %v, want a timeout", err)
				}
			case <-time.After(forever):
				t.Fatal("the list is still being read")
			}
			// The connection can be used again.
			for range s.db.readers + 1 {
				if _, _, err := s.Audit(t.Context(), AuditFilter{}, Page{Size: 1}); err != nil {
					t.Errorf("the next list: %v", err)
				}
			}
		})
	}
}

// A caller that waited only for a slot gets the same error as everywhere: Unavailable, not Timeout.
func TestListThatNeverBeganIsUnavailable(t *testing.T) {
	s := openTemp(t)
	s.lists.queue <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, err := s.Keys(ctx, KeyFilter{}, Page{Size: 1}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	<-s.lists.queue
	if _, _, err := s.Keys(t.Context(), KeyFilter{}, Page{Size: 1}); err != nil {
		t.Errorf("its slot was not released: %v", err)
	}
}

// comer waits for a slot of p, and sends name to arrived once it has one.
func comer(ctx context.Context, t *testing.T, p *pool, name string, arrived chan<- string) {
	t.Helper()
	go func() {
		if err := p.acquire(ctx); err != nil {
			arrived <- err.Error()
			return
		}
		arrived <- name
	}()
	synctest.Wait()
}

func TestPoolServesKeyChangesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keyWriter := newPool(nil, 1, make(chan struct{}))
		writer := keyWriter.withQueue(1)
		arrived := make(chan string, 100)
		comer(t.Context(), t, writer, "the first", arrived)
		for range 20 {
			comer(t.Context(), t, writer, "another", arrived)
		}
		comer(t.Context(), t, keyWriter, "a key", arrived)
		<-arrived
		writer.release()
		synctest.Wait()
		for before := 0; ; before++ {
			if before > 1 {
				t.Fatalf("%d others were first", before)
			}
			if <-arrived == "a key" {
				keyWriter.release()
				break
			}
			writer.release()
			synctest.Wait()
		}
		for range 20 - 1 { // all of them get a slot
			<-arrived
			writer.release()
		}
	})
}

func TestListLeavesRoomForOtherReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := newPool(nil, 4, make(chan struct{}))
		lister := reader.withQueue(1)
		ctx, cancel := context.WithCancel(t.Context())
		arrived := make(chan string, 100)
		for range 64 {
			comer(ctx, t, lister, "a list", arrived)
		}
		for range 3 {
			comer(ctx, t, reader, "a read", arrived)
		}
		got := map[string]int{}
		for range 4 {
			got[<-arrived]++
		}
		if got["a list"] != 1 || got["a read"] != 3 {
			t.Errorf("the four slots are held by %v", got)
		}
		cancel()
		for range 63 {
			<-arrived
		}
		lister.release()
		// Callers that gave up hold no slot.
		if err := lister.acquire(t.Context()); err != nil {
			t.Error(err)
		}
		if len(lister.queue) != 1 || len(reader.slots) != 4 {
			t.Errorf("%d in the queue, %d slots taken", len(lister.queue), len(reader.slots))
		}
	})
}

func TestPoolOfSQLiteKeepsSlotsForKeysAndReads(t *testing.T) {
	s := openTemp(t)
	// Block the queues of the writer and of the lists.
	s.writer.queue <- struct{}{}
	s.lists.queue <- struct{}{}
	if _, err := s.Heartbeat(t.Context(), "one", 1, time.Minute); err != nil {
		t.Error(err)
	}
	made, err := s.CreateKey(t.Context(), keys.Record{ID: "E1", State: keys.Enabled, Material: []byte{1}}, keys.Event{Target: "E1"})
	if err != nil {
		t.Error(err)
	}
	if _, err := s.Key(t.Context(), made.ID); err != nil {
		t.Error(err)
	}
	<-s.writer.queue
	<-s.lists.queue
}

// Unknown ids cost a query, and the callers that send them are not authenticated.
func TestKeysByIDLeavesRoomForOtherReads(t *testing.T) {
	s := openTemp(t)
	half := s.db.readers / 2
	for range half {
		if err := s.keyLookups.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.KeysByID(ctx, []string{"E1"}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("one more has %v", err)
	}
	for range s.db.readers - half { // the other slots are free for other reads
		soon, cancel := context.WithTimeout(t.Context(), forever)
		defer cancel()
		if err := s.reader.acquire(soon); err != nil {
			t.Fatal("another read:", err)
		}
	}
	for range s.db.readers - half {
		s.reader.release()
	}
	for range half {
		s.keyLookups.release()
	}
	if _, err := s.KeysByID(t.Context(), []string{"E1"}); err != nil {
		t.Errorf("a slot was not released: %v", err)
	}
}

// Lists leave the processor to other requests, however many clients read them: see restFactor.
func TestListLeavesTheProcessorToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := newPool(nil, 4, nil)
		lister := reader.withQueue(1)
		lister.throttled = true
		read := func(lists int, work time.Duration) time.Duration {
			began := time.Now()
			for range lists {
				if err := lister.acquire(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(work)
				lister.charge(work)
				lister.release()
				if len(reader.slots) != 0 {
					t.Fatal("other reads wait as well")
				}
			}
			return time.Since(began)
		}
		if took := read(10, time.Millisecond); took != 10*time.Millisecond {
			t.Errorf("the first pages took %v: they must not wait", took)
		}
		if took := read(1000, time.Millisecond); took < 5900*time.Millisecond || took > 6100*time.Millisecond {
			t.Errorf("a second of work is done in %v, want six", took)
		}
		// A slow list, and the next one.
		if took := read(1, time.Second); took > time.Second+mostRest {
			t.Errorf("a slow list took %v", took)
		}
		if took := read(1, time.Millisecond); took > 2*mostRest {
			t.Errorf("after a slow list, the next one took %v", took)
		}
		time.Sleep(time.Second)
		if took := read(1, time.Millisecond); took != time.Millisecond {
			t.Errorf("after a rest, a page took %v", took)
		}
	})
}

func TestListRestsOnlyInAServer(t *testing.T) {
	for serving := range 2 {
		o := Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "store.db"), Environment: "development", Serving: serving == 1}
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if s.lists.throttled != o.Serving || s.reader.throttled || s.writer.throttled || s.keyWriter.throttled {
			t.Errorf("serving %v: it rests %v", o.Serving, s.lists.throttled)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
