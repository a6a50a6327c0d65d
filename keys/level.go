package keys

import (
	"fmt"

	"github.com/latchkey-api/latchkey/fault"
)

// Level is the level of keys that this program supports. Each key has the level that an instance needs to serve it. A new
// field that restricts what a key may do raises Level, and the level of the keys that use it. So an instance from before that
// field refuses the key, instead of serving it without the restriction.
const Level = 1

// baseLevel is the level of a key without such fields.
const baseLevel = 1

// NewerError says that a newer version of the program made or changed a key. This one can only revoke it.
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

// supported is nil for a key whose level this program supports, and otherwise fault.Unavailable: a newer instance may serve it.
func (r *Record) supported() error {
	if r.Level <= Level {
		return nil
	}
	return fault.Wrap(fault.Unavailable, &NewerError{r.ID, r.Level})
}
