package keys

import "time"

// Actor is who asks for a change, for the audit.
type Actor struct {
	// Key is the id of the key that called, or "cli" for the command line.
	Key string
	// RequestID and Address are those of the HTTP request. On the command line there is no RequestID, and Address is
	// user@host.
	RequestID, Address string
}

// Event is a row of the audit. It never has a secret.
type Event struct {
	At     time.Time
	Actor  Actor
	Action string
	// Target is the key that was changed, or the route that refused.
	Target string
	// Count is how many calls the row is for; more than 1 only for refusals.
	Count int
}

// The actions of the audit.
const (
	ActionCreate  = "create"
	ActionRotate  = "rotate"
	ActionDisable = "disable"
	ActionEnable  = "enable"
	ActionRevoke  = "revoke"
	ActionRewrap  = "rewrap"
	ActionRestore = "restore" // a backup was restored, but the keys of the store before stayed
	ActionRevive  = "revive"  // a backup was restored with its keys
	ActionRefused = "refused"
)

// Actions lists them all.
func Actions() []string {
	return []string{
		ActionCreate, ActionRotate, ActionDisable, ActionEnable, ActionRevoke, ActionRewrap, ActionRestore, ActionRevive, ActionRefused,
	}
}
