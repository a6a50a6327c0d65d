package handlers

import (
	"errors"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/store"
)

// Keys serves the administration of keys.
type Keys struct {
	Keyring *keys.Keyring
	Store   *store.Store
}

// Key is a key as administrators see it: everything but the secret.
type Key struct {
	ID          string   `json:"id" required:"true" description:"The public half: the kid and the apiKey claim of its tokens."`
	Client      string   `json:"client" required:"true"`
	Kind        string   `json:"kind" required:"true" enum:"ed25519,hs256"`
	Scopes      []string `json:"scopes" required:"true"`
	Rate        float64  `json:"rate,omitempty" description:"Requests a second; absent for no limit."`
	Burst       int      `json:"burst,omitempty" description:"Requests at once."`
	CreatedAt   string   `json:"created_at" format:"date-time" required:"true"`
	ExpiresAt   string   `json:"expires_at,omitempty" format:"date-time"`
	State       string   `json:"state" required:"true" enum:"enabled,disabled,revoked"`
	RotatedTo   string   `json:"rotated_to,omitempty" description:"The key's successor."`
	RotatedFrom string   `json:"rotated_from,omitempty" description:"The key's predecessor."`
	LastUsedAt  string   `json:"last_used_at,omitempty" format:"date-time" description:"To the minute."`
	Hint        string   `json:"hint" required:"true" description:"The id and the last four characters."`
}

// KeyOf is the view of a record.
func KeyOf(r keys.Record) Key {
	return Key{
		ID: r.ID, Client: r.Client, Kind: string(r.Kind), Scopes: texts(r.Scopes), Rate: r.Rate, Burst: r.Burst,
		CreatedAt: timeText(r.CreatedAt), ExpiresAt: timeText(r.ExpiresAt), State: string(r.State),
		RotatedTo: r.RotatedTo, RotatedFrom: r.RotatedFrom, LastUsedAt: timeText(r.LastUsedAt), Hint: r.Hint,
	}
}

// texts converts a list to strings; never nil.
func texts[T ~string](list []T) []string {
	all := make([]string, len(list))
	for i, one := range list {
		all[i] = string(one)
	}
	return all
}

// timeText is a time in RFC 3339 and UTC, "" for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// NewKey is a new key with its secret, which is shown only once.
type NewKey struct {
	Key    Key    `json:"key" required:"true"`
	Secret string `json:"secret" required:"true" description:"The key string. It is shown this once: of ed25519 the store keeps only the public key, of hs256 it keeps the string sealed."`
}

// RotatedKey is the successor of a key.
type RotatedKey struct {
	Key      Key    `json:"key" required:"true"`
	Secret   string `json:"secret" required:"true" description:"The key string of the successor. It is shown this once: of ed25519 the store keeps only the public key, of hs256 it keeps the string sealed."`
	Replaces Key    `json:"replaces" required:"true"`
}

// ListedKey is a key in a list, with warnings for an administrator.
type ListedKey struct {
	Key

	ExpiresSoon bool  `json:"expires_soon" required:"true" description:"Whether it expires within 14 days."`
	StillUsed   *bool `json:"still_used,omitempty" description:"For a rotated key: whether it was used after its successor was made."`
}

// soon is how long before its expiry a list warns of a key.
const soon = 14 * 24 * time.Hour

// Listed is the view of a key in a list.
func Listed(r store.ListedKey, now time.Time) ListedKey {
	listed := ListedKey{Key: KeyOf(r.Record), ExpiresSoon: !r.ExpiresAt.IsZero() && r.ExpiresAt.Before(now.Add(soon))}
	if r.RotatedTo != "" {
		// The last use is known to the minute. The minute of the rotation counts as used, so that no use in it is missed.
		listed.StillUsed = new(!r.LastUsedAt.Before(r.SuccessorCreatedAt.Truncate(time.Minute)))
	}
	return listed
}

// ListKeys is the request for a list of keys.
type ListKeys struct {
	Client string `query:"client" description:"Only keys of this client."`
	State  string `query:"state" enum:"enabled,disabled,revoked" description:"Only keys in this state."`
	Limit  int    `query:"limit" example:"50" default:"50" minimum:"1" maximum:"200" description:"The longest list to answer."`
	Cursor string `query:"cursor" description:"Where to go on: taken from the Link header of the page before."`
}

// CreateKey is the request for a new key.
type CreateKey struct {
	Client    string      `json:"client" required:"true" minLength:"1" maxLength:"64" description:"Whom it is for."`
	Scopes    []ScopeName `json:"scopes" required:"true" minItems:"1" description:"What the key may do."`
	Kind      string      `json:"kind" enum:"ed25519,hs256" default:"ed25519"`
	Rate      *float64    `json:"rate" description:"Requests a second, 0.001 to 1000000; absent for no limit."`
	Burst     *int        `json:"burst" description:"Requests at once, 1 to 1000000; needs a rate. Default: the rate, rounded up."`
	ExpiresAt *string     `json:"expires_at" format:"date-time"`
}

// ScopeName is the name of a scope in a request. The keyring refuses unknown names.
type ScopeName string

// Enum lists the scopes for the documentation.
func (ScopeName) Enum() []any {
	var names []any
	for _, name := range keys.EveryScope().Names() {
		names = append(names, name)
	}
	return names
}

// KeyByID is the request for one key.
type KeyByID struct {
	ID string `path:"id" example:"E4hYx0aQbWm2" description:"The key's id."`
}

// RotateKey is the request for a successor.
type RotateKey struct {
	ID    string `json:"-" path:"id" example:"E4hYx0aQbWm2" description:"The key's id."`
	Grace string `json:"grace" default:"24h" description:"For how long the old key goes on being accepted: 0s to 720h. It never extends the key's own expiry. 0s for a leak."`
}

// RevokeKey is the request to revoke a key.
type RevokeKey struct {
	ID   string `path:"id" example:"E4hYx0aQbWm2" description:"The key's id."`
	Wait bool   `query:"wait" description:"Whether to wait, at most 3 s, until every live instance has seen it."`
}

// ConfirmedKey is a revoked key, and the instances that have confirmed it.
type ConfirmedKey struct {
	Key       Key            `json:"key" required:"true"`
	Confirmed []Confirmation `json:"confirmed" required:"true" description:"The instances that have seen it."`
	Late      []string       `json:"late" required:"true" description:"The live instances that have not."`
}

// Confirmation is an instance that has seen a change.
type Confirmation struct {
	Instance string `json:"instance" required:"true"`
	MS       int64  `json:"ms" required:"true" description:"Milliseconds after the change."`
}

// ConfirmedOf is the view of a revocation and its confirmations.
func ConfirmedOf(r keys.Record, confirmed []keys.Confirmation, late []string) ConfirmedKey {
	view := ConfirmedKey{Key: KeyOf(r), Confirmed: []Confirmation{}, Late: append([]string{}, late...)}
	for _, c := range confirmed {
		view.Confirmed = append(view.Confirmed, Confirmation{c.Instance, c.After.Milliseconds()})
	}
	return view
}

// actor is the caller and its address, for the audit.
func actor(c *fiber.Ctx) (keys.Actor, error) {
	from, fromOK := c.Locals(keys.ActorKey{}).(keys.Actor)
	principal, ok := c.Locals(keys.PrincipalKey{}).(*keys.Principal)
	if !ok || !fromOK {
		return keys.Actor{}, fault.Wrap(fault.Internal, errors.New("the routes of keys have no guard"))
	}
	from.Key = principal.KeyID
	return from, nil
}

// Create makes a key.
func (k *Keys) Create(c *fiber.Ctx) error {
	var in CreateKey
	if err := decodeBody(c, &in); err != nil {
		return err
	}
	by, err := actor(c)
	if err != nil {
		return err
	}
	request := keys.Request{Client: in.Client, Scopes: texts(in.Scopes), Kind: in.Kind, Rate: in.Rate, Burst: in.Burst}
	if in.ExpiresAt != nil {
		var wrong fields
		at := wrong.timestamp(inBody, "expires_at", *in.ExpiresAt)
		if err := wrong.err(); err != nil {
			return err
		}
		request.ExpiresAt = &at
	}
	record, text, err := k.Keyring.Create(c.UserContext(), by, request)
	if err != nil {
		return inTheBody(err)
	}
	c.Location("/service/keys/" + record.ID)
	return c.Status(fiber.StatusCreated).JSON(NewKey{Key: KeyOf(record), Secret: text.Reveal()})
}

// inTheBody adds the names of the wrong members to the keyring's Invalid. It returns other errors as they are.
func inTheBody(err error) error {
	invalid, ok := errors.AsType[*keys.InvalidError](err)
	if !ok {
		return err
	}
	var wrong fields
	for _, problem := range invalid.Problems {
		wrong.add(inBody, problem.Field, problem.Message, problem.Type)
	}
	return wrong.err()
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
	rows, next, err := k.Store.Keys(c.UserContext(), filter, page)
	if err != nil {
		return err
	}
	now := time.Now()
	list := make([]ListedKey, 0, len(rows))
	for _, row := range rows {
		list = append(list, Listed(row, now))
	}
	nextPage(c, "/service/keys", url.Values{"client": {filter.Client}, "state": {string(filter.State)}}, page.Size, next)
	return c.JSON(list)
}

// ByID answers one key, or fault.NotFound.
func (k *Keys) ByID(c *fiber.Ctx) error {
	record, err := k.Store.Key(c.UserContext(), pathParam(c, "id"))
	if err != nil {
		return err
	}
	return c.JSON(KeyOf(record))
}

// Rotate creates the successor of a key.
func (k *Keys) Rotate(c *fiber.Ctx) error {
	var in RotateKey
	if err := decodeOptionalBody(c, &in); err != nil {
		return err
	}
	by, err := actor(c)
	if err != nil {
		return err
	}
	grace := keys.DefaultGrace
	if in.Grace != "" {
		if grace, err = time.ParseDuration(in.Grace); err != nil {
			var wrong fields
			wrong.add(inBody, "grace", "must be a duration such as 90s or 24h", "duration_parsing")
			return wrong.err()
		}
	}
	old, record, text, err := k.Keyring.Rotate(c.UserContext(), by, pathParam(c, "id"), grace)
	if err != nil {
		return inTheBody(err)
	}
	c.Location("/service/keys/" + record.ID)
	return c.Status(fiber.StatusCreated).JSON(RotatedKey{Key: KeyOf(record), Secret: text.Reveal(), Replaces: KeyOf(old)})
}

// SetState enables or disables a key.
func (k *Keys) SetState(state keys.State) fiber.Handler {
	return func(c *fiber.Ctx) error {
		record, err := k.setState(c, state)
		if err != nil {
			return err
		}
		return c.JSON(KeyOf(record))
	}
}

// Revoke revokes a key. With wait it waits for the confirmation of all live instances.
func (k *Keys) Revoke(c *fiber.Ctx) error {
	var wrong fields
	wait := wrong.boolean(c, "wait")
	if err := wrong.err(); err != nil {
		return err
	}
	record, err := k.setState(c, keys.Revoked)
	if err != nil {
		return err
	}
	if !wait {
		return c.JSON(KeyOf(record))
	}
	confirmed, late, err := k.Keyring.Confirm(c.UserContext(), record.Version)
	if err != nil {
		return err
	}
	return c.JSON(ConfirmedOf(record, confirmed, late))
}

func (k *Keys) setState(c *fiber.Ctx, state keys.State) (keys.Record, error) {
	if err := decodeOptionalBody(c, &struct{}{}); err != nil {
		return keys.Record{}, err
	}
	by, err := actor(c)
	if err != nil {
		return keys.Record{}, err
	}
	return k.Keyring.SetState(c.UserContext(), by, pathParam(c, "id"), state)
}
