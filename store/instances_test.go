package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func TestHeartbeatAgeByStoreClock(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		s := p.open(t)
		for _, name := range []string{"now", "late", "lost"} {
			if _, err := s.Heartbeat(t.Context(), name, 1, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		p.tamper(t, "UPDATE instances SET beat_at = beat_at - 60000000 WHERE id = 'late'")
		p.tamper(t, "UPDATE instances SET beat_at = beat_at - 660000000 WHERE id = 'lost'")
		isLive := func(within time.Duration, want ...string) {
			t.Helper()
			live, err := s.Instances(t.Context(), within)
			ok := err == nil && len(live) == len(want)
			for _, name := range want {
				_, found := live[name]
				ok = ok && found
			}
			if !ok {
				t.Errorf("within %v: %v, %v, want %v", within, live, err, want)
			}
		}
		isLive(30*time.Second, "now")
		isLive(5*time.Minute, "now", "late")
		isLive(48*time.Hour, "now", "late", "lost")
		// The first heartbeat of an instance removes those that were killed ten minutes ago.
		if _, err := s.Heartbeat(t.Context(), "new", 1, time.Minute); err != nil {
			t.Fatal(err)
		}
		isLive(48*time.Hour, "now", "late", "new")
		if _, err := s.Heartbeat(t.Context(), "late", 2, time.Minute); err != nil {
			t.Fatal(err)
		}
		isLive(30*time.Second, "now", "late", "new")
		// The clock was set back.
		p.tamper(t, "UPDATE instances SET beat_at = beat_at + 3600000000 WHERE id = 'new'")
		isLive(30*time.Second, "now", "late")
	})
}

func TestChangeAgeByStoreClock(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		s := p.open(t)
		for _, id := range []string{"E1", "E2", "E3"} {
			if _, err := s.CreateKey(t.Context(), newKey(id), keys.Event{Target: id}); err != nil {
				t.Fatal(err)
			}
		}
		p.tamper(t, "UPDATE keys SET changed_at = changed_at - 5000000 WHERE id = 'E2'")
		p.tamper(t, "UPDATE keys SET changed_at = 0 WHERE id = 'E3'") // as an older binary leaves it
		changes, err := s.KeyChanges(t.Context(), 0, 1000)
		if err != nil || len(changes.Keys) != 3 {
			t.Fatal(changes, err)
		}
		for _, change := range changes.Keys {
			var from time.Duration
			switch change.ID {
			case "E2":
				from = 5 * time.Second
			case "E3":
				if change.Age >= 0 {
					t.Errorf("E3, without a time, changed %v ago", change.Age)
				}
				continue
			}
			if change.Age < from || change.Age > from+3*time.Second {
				t.Errorf("%s changed %v ago, want %v and a little", change.ID, change.Age, from)
			}
		}
	})
}

func TestNotifySQLiteNever(t *testing.T) {
	s := openAt(t, newFile(t))
	if err := s.Listen(t.Context(), func() { t.Error("SQLite has notified") }); err != nil {
		t.Error(err)
	}
}

// listening listens until the function that it returns is called. The channel gets a value for each notification.
func listening(t *testing.T, s *store.Store) (news chan struct{}, end func() error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	news = make(chan struct{}, 100)
	ended := make(chan error, 1)
	go func() { ended <- s.Listen(ctx, func() { news <- struct{}{} }) }()
	return news, func() error { stop(); return <-ended }
}

func wantNotification(t *testing.T, news <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-news:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: no notification", what)
	}
}

func TestNotifyPostgresOnChanges(t *testing.T) {
	s := openURL(t, newDatabase(t))
	news, end := listening(t, s)
	wantNotification(t, news, "at the beginning")
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{Target: "E1"})
	must("create", err)
	wantNotification(t, news, "a key was made")
	_, err = s.ChangeKey(t.Context(), "E1", keys.Event{Target: "E1"}, revoke)
	must("revoke", err)
	wantNotification(t, news, "it was revoked")
	_, err = s.Heartbeat(t.Context(), "one", 1, time.Minute)
	must("heartbeat", err)
	wantNotification(t, news, "an instance came")
	_, err = s.Heartbeat(t.Context(), "one", 2, time.Minute)
	must("heartbeat", err)
	must("touch", s.TouchKeys(t.Context(), map[string]time.Time{"E1": time.Unix(1, 0)}))
	must("divide", s.UpdateShares(t.Context(), "one", time.Hour, func(map[string]keys.Instance) (string, bool) { return "x", false }))
	must("leave", s.Leave(t.Context(), "one"))
	wantNotification(t, news, "it left")
	if n := len(news); n > 0 {
		t.Errorf("%d notifications more: of a heartbeat, of the use of a key, or of shares that are not urgent", n)
	}
	if err := end(); err != nil {
		t.Errorf("after the end of the context: %v", err)
	}
}

func TestNotifyEndsWithConnection(t *testing.T) {
	for name, lose := range map[string]func(*proxy){
		"reset": func(p *proxy) { p.reset() },
		"cut":   func(p *proxy) { p.cut() },
		// Nothing arrives any more: only a ping can find that out.
		"hangs": func(p *proxy) { p.pause() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, databaseURL := startProxy(t, newDatabase(t))
			s := openURL(t, databaseURL)
			ended := make(chan error, 1)
			began := make(chan struct{}, 1)
			go func() { ended <- s.Listen(context.Background(), func() { began <- struct{}{} }) }()
			wantNotification(t, began, "at the beginning")
			lose(p)
			if name == "hangs" {
				defer p.resume()
			}
			select {
			case err := <-ended:
				isCode(t, "listening", err, fault.Unavailable)
			case <-time.After(20 * time.Second):
				t.Fatal("it still listens")
			}
		})
	}
}
