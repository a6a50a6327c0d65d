package cli

import (
	"errors"
	"time"

	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

type keysAuditCmd struct {
	Key   string `help:"Only rows about or by the key with this id; cli is the command line." placeholder:"ID"`
	Since string `help:"Only rows since this time, such as 2027-01-31T12:00:00Z, or since so long ago, such as 24h." placeholder:"TIME"`
	Limit *int   `help:"At most so many rows, the oldest of them. Default: all." placeholder:"NUMBER"`
}

// Run prints rows of the audit.
func (c keysAuditCmd) Run(r *command, all *keysCmd) error {
	filter := store.AuditFilter{Key: c.Key}
	if isKeyString(c.Key) {
		return errKeyForID
	}
	if c.Since != "" {
		var err error
		if filter.Since, err = sinceWhen(c.Since, time.Now()); err != nil {
			return err
		}
	}
	limit := 0
	if c.Limit != nil {
		if limit = *c.Limit; limit < 1 {
			return errors.New("--limit must be 1 or more")
		}
	}
	return r.look(func(a administration) error {
		events, more, err := pages(limit, func(page store.Page) ([]keys.Event, store.Cursor, error) {
			return a.store.Audit(r.ctx, filter, page)
		})
		if err != nil {
			return sentence(err, "")
		}
		list := make([]handlers.Event, 0, len(events))
		for _, event := range events {
			list = append(list, handlers.EventOf(event))
		}
		switch {
		case all.JSON:
			return r.printJSON(list)
		case len(list) == 0:
			r.say("There are no such rows.")
			return nil
		}
		if err := r.printEvents(list); err != nil {
			return err
		}
		if more {
			r.say("There are more rows: raise --limit, or begin later with --since.")
		}
		return nil
	})
}

// sinceWhen parses a time, or a duration before now.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, errors.New("--since must be a time such as 2027-01-31T12:00:00Z, or how long ago, such as 24h")
	}
	return at, nil
}
