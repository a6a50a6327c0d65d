package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

func TestOpenExistingMakesNoStore(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		for name, change := range map[string]func(*store.Options){
			"existing": func(o *store.Options) { o.Existing = true },
			"reading":  func(o *store.Options) { o.Reading = true },
		} {
			t.Run(name, func(t *testing.T) {
				p := newPlace(t)
				o := p.options()
				change(&o)
				_, err := store.Open(t.Context(), o)
				isSentence(t, err, "there is no store", p.named)
				if p.engine == "sqlite" {
					if _, err := os.Stat(filepath.Dir(p.named)); !os.IsNotExist(err) {
						t.Errorf("something was made: %v", err)
					}
				} else {
					var tables int
					const count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
					if err := p.raw(t).QueryRow(count).Scan(&tables); err != nil || tables != 0 {
						t.Errorf("%d tables were made, %v", tables, err)
					}
				}
				s := p.open(t)
				if _, err := s.CreateKey(t.Context(), newKey("E1"), keys.Event{}); err != nil {
					t.Fatal(err)
				}
				closeNow(t, s)
				s, err = store.Open(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Key(t.Context(), "E1"); err != nil {
					t.Error(err)
				}
				if o.Reading && p.engine == "sqlite" {
					_, err := s.ChangeKey(t.Context(), "E1", keys.Event{}, revoke)
					isCode(t, "a change by one who only reads", err, fault.Unavailable)
				}
				closeNow(t, s)
			})
		}
	})
}

func TestOpenForReadingDoesNotMigrate(t *testing.T) {
	onEachEngine(t, func(t *testing.T, newPlace func(*testing.T) place) {
		p := newPlace(t)
		closeNow(t, p.open(t))
		p.tamper(t, "DELETE FROM goose_db_version WHERE version_id >= 8")
		o := p.options()
		o.Reading = true
		for range 2 {
			_, err := store.Open(t.Context(), o)
			isSentence(t, err, p.named, "its schema has version 7", "latchkey migrate")
		}
		var version int64
		if err := p.raw(t).QueryRow("SELECT max(version_id) FROM goose_db_version").Scan(&version); err != nil || version != 7 {
			t.Errorf("the schema has version %d, %v", version, err)
		}
	})
}
