package handlers

import (
	"net/url"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// ListKeys is the request for a list of keys.
type ListKeys struct {
	Client string `query:"client" description:"Only keys of this client."`
	State  string `query:"state" enum:"enabled,disabled,revoked" description:"Only keys in this state."`
	Limit  int    `query:"limit" example:"50" default:"50" minimum:"1" maximum:"200" description:"The longest list to answer."`
	Cursor string `query:"cursor" description:"Where to go on: taken from the Link header of the page before."`
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

// List answers keys, oldest first.
func (k *Keys) List(c *fiber.Ctx) error {
	var wrong fields
	filter := store.KeyFilter{Client: c.Query("client"), State: keys.State(c.Query("state"))}
	if filter.State != "" && !filter.State.Known() {
		wrong.add(inQuery, "state", "must be enabled, disabled or revoked", "enum")
	}
	page := wrong.page(c, store.ListKeys)
	if err := wrong.err(); err != nil {
		return err
	}
	ctx := c.UserContext()
	records, next, err := k.Store.Keys(ctx, filter, page)
	if err != nil {
		return err
	}
	now := time.Now()
	list := make([]ListedKey, 0, len(records))
	for _, record := range records {
		var successor keys.Record
		if record.RotatedTo != "" {
			if successor, err = k.Store.Key(ctx, record.RotatedTo); err != nil {
				return err
			}
		}
		list = append(list, Listed(record, successor.CreatedAt, now))
	}
	nextPage(c, "/service/keys", url.Values{"client": {filter.Client}, "state": {string(filter.State)}}, page.Limit, next)
	return c.JSON(list)
}

// Audit answers rows of the audit, oldest first.
func (k *Keys) Audit(c *fiber.Ctx) error {
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
	events, next, err := k.Store.Audit(c.UserContext(), filter, page)
	if err != nil {
		return err
	}
	list := make([]Event, 0, len(events))
	for _, event := range events {
		list = append(list, EventOf(event))
	}
	nextPage(c, "/service/audit", url.Values{"key": {filter.Key}, "since": {since}}, page.Limit, next)
	return c.JSON(list)
}

// nextPage names the next page of a list, if there is one (RFC 8288). Parameters without a value are left out.
func nextPage(c *fiber.Ctx, path string, parameters url.Values, limit int, next store.Cursor) {
	if next.IsZero() {
		return
	}
	query := url.Values{"limit": {strconv.Itoa(limit)}, "cursor": {next.String()}}
	for name, values := range parameters {
		if values[0] != "" {
			query[name] = values
		}
	}
	c.Set(fiber.HeaderLink, "<"+path+"?"+query.Encode()+`>; rel="next"`)
}
