package keys

import (
	"fmt"

	"github.com/latchkey-api/latchkey/fault"
)

// Level is how much this program knows of keys. The row of a key has the least level that serves it, baseLevel where it
// uses nothing newer: a field that restricts what a key may do raises it, and Level with it. So an instance from before
// that field refuses the key, instead of serving it without the restriction.
const Level = 1

const baseLevel = 1

// NewerError says that a newer version made or changed a key. This one may revoke it, and nothing else.
type NewerError struct {
	// ID is the id of the key, and Needed its level.
	ID     string
	Needed int
}

// Error is a sentence for the log and the command line.
func (e *NewerError) Error() string {
	return fmt.Sprintf("a newer version of latchkey made or changed the key %s (level %d, this version knows %d): update this one; it can only revoke the key",
		e.ID, e.Needed, Level)
}

// served is nil for a key that this program knows enough of, and otherwise fault.Unavailable: another instance may.
func (r *Record) served() error {
	if r.Level <= Level {
		return nil
	}
	return fault.Wrap(fault.Unavailable, &NewerError{r.ID, r.Level})
}
