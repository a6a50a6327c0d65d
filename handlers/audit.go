package handlers

import (
	"net/url"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// Audit serves the audit.
type Audit struct {
	Store *store.Store
}

// ListAudit is the request for rows of the audit.
type ListAudit struct {
	Key    string `query:"key" description:"Only rows about or by the key with this id."`
	Since  string `query:"since" format:"date-time" description:"Only rows since this time, in the order of their times; without it, in the order in which they were written."`
	Limit  int    `query:"limit" example:"50" default:"50" minimum:"1" maximum:"200" description:"The longest list to answer."`
	Cursor string `query:"cursor" description:"Where to go on: taken from the Link header of the page before."`
}

// Event is a row of the audit as administrators see it.
type Event struct {
	Time      string `json:"time" format:"date-time" required:"true"`
	Actor     string `json:"actor" required:"true" description:"The id of the key that called, or cli."`
	Action    string `json:"action" required:"true" enum:"create,rotate,disable,enable,revoke,rewrap,restore,revive,refused"`
	Target    string `json:"target" required:"true" description:"The id of the key that was changed; the route, where the call was refused; empty for the restore of a backup."`
	RequestID string `json:"request_id,omitempty"`
	Address   string `json:"address,omitempty" description:"Where the call came from: an IP address, or for cli user@host, the system's names."`
	Count     int    `json:"count" required:"true" description:"How many calls the row stands for; more than 1 only for refusals. Those of one key are counted for a second, and for longer, at most ten minutes, while they go on."`
}

// EventOf is the view of a row of the audit.
func EventOf(e keys.Event) Event {
	return Event{
		Time: timeText(e.At), Actor: e.Actor.Key, Action: e.Action, Target: e.Target,
		RequestID: e.Actor.RequestID, Address: e.Actor.Address, Count: e.Count,
	}
}

// List answers rows of the audit, oldest first.
func (a *Audit) List(c *fiber.Ctx) error {
	var wrong fields
	filter := store.AuditFilter{Key: c.Query("key")}
	since := c.Query("since")
	if since != "" {
		filter.Since = wrong.timestamp(inQuery, "since", since)
	}
	page := wrong.page(c, store.ListAudit)
	if err := wrong.err(); err != nil {
		return err
	}
	events, next, err := a.Store.Audit(c.UserContext(), filter, page)
	if err != nil {
		return err
	}
	list := make([]Event, 0, len(events))
	for _, event := range events {
		list = append(list, EventOf(event))
	}
	nextPage(c, "/service/audit", url.Values{"key": {filter.Key}, "since": {since}}, page.Size, next)
	return c.JSON(list)
}
