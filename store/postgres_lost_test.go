package store_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/store"
)

// A host is lost silently while connections to it begin, just before their settings.
func TestPostgresConnectionLostEarlyKeepsNoPlace(t *testing.T) {
	t.Parallel()
	p, databaseURL := startProxy(t, newDatabase(t))
	s := openURL(t, databaseURL)
	p.lose("idle_in_transaction_session_timeout")
	ctx, stop := context.WithCancel(context.Background())
	var served atomic.Int64
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for range 24 { // more than there are connections
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.HasKeys(ctx); err == nil {
					served.Add(1)
				}
			}
		})
	}
	until(t, "a pool of connections is lost", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.lost >= 16
	})
	p.lose("")
	until(t, "work", func() bool { return served.Load() > 200 })
}

func TestPostgresSilentHostIsNotTheLastOne(t *testing.T) {
	t.Parallel()
	databaseURL := newDatabase(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	both := strings.Replace(databaseURL, "@", "@"+silent.Addr().String()+",", 1)
	s := openURL(t, both)
	until(t, "readiness", func() bool { return s.Ready(t.Context()) == nil })
}

func TestPostgresOpenDoesNotWaitForAServerThatHangs(t *testing.T) {
	t.Parallel()
	const openLimit = 10 * time.Second
	databaseURL := newDatabase(t)
	closeNow(t, openURL(t, databaseURL))
	hold := func(t *testing.T, statement string, args ...any) {
		t.Helper()
		tx, err := rawPostgres(t, databaseURL).Begin()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback() })
		if _, err := tx.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(t *testing.T, databaseURL string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*openLimit)
		defer cancel()
		began := time.Now()
		_, err := store.Open(ctx, store.Options{URL: databaseURL, Environment: "development"})
		isSentence(t, err, "does not answer in time")
		if took := time.Since(began); took > openLimit {
			t.Errorf("it took %v", took)
		}
	}
	t.Run("a table is locked", func(t *testing.T) {
		hold(t, "LOCK TABLE meta")
		fails(t, databaseURL)
	})
	// Another process migrates, and the server is gone before it has done so.
	t.Run("while it waits", func(t *testing.T) {
		hold(t, "SELECT pg_advisory_xact_lock($1)", int64(0x6c617463686b6579))
		p, throughProxy := startProxy(t, databaseURL)
		p.lose("advisory_xact_lock")
		fails(t, throughProxy)
	})
}
