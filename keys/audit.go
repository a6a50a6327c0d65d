package keys

import "time"

// Actor is who asks for a change, for the audit.
type Actor struct {
	// Key is the id of the key that called, or "cli" for the command line.
	Key string
	// RequestID and Address are of the HTTP request. On the command line the first is "" and the second is user@host, the
	// system's names.
	RequestID, Address string
}

// Event is a row of the audit. It never holds a secret.
type Event struct {
	At     time.Time
	Actor  Actor
	Action string
	// Target is the key that was changed, or the route that refused.
	Target string
	// Count is how many calls the row stands for; more than 1 only for refusals.
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
	ActionRestore = "restore" // of a backup; the keys stay those of the store before, but for ActionRevive
	ActionRevive  = "revive"  // the same with the keys of the backup
	ActionRefused = "refused"
)

// Actions lists them all.
func Actions() []string {
	return []string{
		ActionCreate, ActionRotate, ActionDisable, ActionEnable, ActionRevoke, ActionRewrap, ActionRestore, ActionRevive, ActionRefused,
	}
}
