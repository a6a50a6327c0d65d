package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// errKeyForID does not contain the argument, which may be a secret.
var errKeyForID = errors.New("an id is expected here, not a whole key: the id is the 12 characters after lk_live_ or lk_test_\n" +
	"the key may now be in the history of this shell: rotate it with --grace 0s if others can read that")

// isKeyString reports whether text is meant as a key string, with typing errors or without.
func isKeyString(text string) bool { return strings.HasPrefix(text, "lk_") }

// checkID refuses text that cannot be the id of a key. Its errors do not contain the text, which may be a secret.
func checkID(id string) error {
	if isKeyString(id) {
		return errKeyForID
	}
	if !keystring.IsID(id) {
		return errors.New("there is no such key: an id has 12 letters and digits and begins with E or H")
	}
	return nil
}

// sentence makes err readable for a person: the text of a fault is for programs. id is the key that err is about; empty
// for none.
func sentence(err error, id string) error {
	if invalid, ok := errors.AsType[*keys.InvalidError](err); ok {
		var problems []error
		for _, problem := range invalid.Problems {
			problems = append(problems, errors.New(flagOf(problem.Field, id)+problem.Message))
		}
		return errors.Join(problems...)
	}
	failure, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	cause := errors.Unwrap(failure)
	newer, isNewer := errors.AsType[*keys.NewerError](err)
	switch {
	case isNewer:
		return newer
	case failure.Code == fault.NotFound && id != "":
		return fmt.Errorf("there is no key %s", id)
	case failure.Code == fault.Unavailable:
		return fmt.Errorf("the store cannot be used: %w", cmp.Or(cause, err))
	case cause != nil:
		return cause
	default:
		return err
	}
}

// flagOf is the flag that sets a field, as the beginning of a sentence. It is empty for a field of an existing key (id),
// which only --grace can be wrong for.
func flagOf(field, id string) string {
	switch {
	case field == "scopes":
		return "--scope: "
	case field == "expires_at":
		return "--expires: "
	case id != "" && field != "grace":
		return ""
	default:
		return "--" + field + ": "
	}
}

// withoutKeys removes key strings, also damaged ones, from an error of kong, which repeats unexpected arguments.
func withoutKeys(text string) string {
	return keystring.Redact(text, func(keystring.Environment, string) string { return "[a key]" })
}
