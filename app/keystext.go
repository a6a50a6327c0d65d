package app

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// sayMigrations says what opening a store did to its schema: whoever runs a newer version beside a server has to know.
func (r *command) sayMigrations(applied []string) {
	if len(applied) > 0 && !strings.HasPrefix(applied[0], "00001_") { // a new store is no news
		r.say("The schema of the store was brought up to date: %s.", strings.Join(applied, ", "))
	}
}

// printJSON prints an object of the HTTP API.
func (r *command) printJSON(object any) error {
	encoder := json.NewEncoder(r.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(object)
}

// printSecret prints the one copy of a key string: alone, or as a part of its object.
func (r *command) printSecret(asJSON bool, object any, id, secret string) error {
	var err error
	if asJSON {
		err = r.printJSON(object)
	} else {
		_, err = fmt.Fprintln(r.stdout, secret)
	}
	if err != nil {
		return fmt.Errorf("key %s was made, but its key string could not be printed and is lost: revoke it (%w)", id, err)
	}
	if asJSON {
		return nil
	}
	if kind, _ := keystring.KindOf(id); kind == keystring.HS256 {
		r.say("The key string is shown this once; the store keeps it sealed under MASTER_KEY.")
	} else {
		r.say("The key string is shown this once; the store keeps only the public key.")
	}
	return nil
}

// inWords says what was made.
func inWords(k handlers.Key) string {
	text := k.ID + " for " + k.Client + ": " + k.Kind + ", " + strings.Join(k.Scopes, " ") + ", " + limitInWords(k)
	if k.ExpiresAt != "" {
		text += ", expires at " + k.ExpiresAt
	}
	if k.State != "enabled" {
		text += ", " + k.State
	}
	return text
}

func limitInWords(k handlers.Key) string {
	if k.Rate == 0 {
		return "no limit"
	}
	return strconv.FormatFloat(k.Rate, 'f', -1, 64) + "/s, burst " + strconv.Itoa(k.Burst)
}

// printKey prints one key, with the names that it has in JSON.
func (r *command) printKey(k handlers.Key) error {
	table := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"id", k.ID},
		{"client", k.Client},
		{"kind", k.Kind},
		{"scopes", strings.Join(k.Scopes, " ")},
		{"limit", limitInWords(k)},
		{"state", k.State},
		{"created_at", k.CreatedAt},
		{"expires_at", orDash(k.ExpiresAt)},
		{"rotated_to", orDash(k.RotatedTo)},
		{"rotated_from", orDash(k.RotatedFrom)},
		{"last_used_at", orDash(k.LastUsedAt)},
		{"hint", k.Hint},
	} {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
	}
	return table.Flush()
}

// printKeys prints a line for each key.
func (r *command) printKeys(list []handlers.ListedKey, now time.Time) error {
	table := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tCLIENT\tKIND\tSCOPES\tLIMIT\tSTATE\tEXPIRES\tLAST USED\tNOTE")
	for _, k := range list {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Client, k.Kind,
			strings.Join(k.Scopes, " "), limitInWords(k.Key), k.State, orDash(k.ExpiresAt), orDash(k.LastUsedAt), orDash(note(k, now)))
	}
	return table.Flush()
}

// note is what somebody who looks through the keys should see.
func note(k handlers.ListedKey, now time.Time) string {
	var notes []string
	if expires, err := time.Parse(time.RFC3339, k.ExpiresAt); err == nil && !now.Before(expires) {
		notes = append(notes, "expired")
	} else if k.ExpiresSoon {
		notes = append(notes, "expires soon")
	}
	if k.RotatedTo != "" {
		notes = append(notes, "rotated to "+k.RotatedTo)
	}
	if k.StillUsed != nil && *k.StillUsed {
		notes = append(notes, "used since")
	}
	return strings.Join(notes, ", ")
}

// printEvents prints a line for each row of the audit.
func (r *command) printEvents(list []handlers.Event) error {
	table := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TIME\tACTOR\tACTION\tTARGET\tCOUNT\tADDRESS\tREQUEST")
	for _, e := range list {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", e.Time, e.Actor, e.Action, e.Target, e.Count,
			orDash(e.Address), orDash(e.RequestID))
	}
	return table.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// errKeyForID does not repeat what was given.
var errKeyForID = errors.New("an id is expected here, not a whole key: the id is the 12 characters after lk_live_ or lk_test_\n" +
	"the key may now be in the history of this shell: rotate it with --grace 0s if others can read that")

// isKeyString says whether somebody meant text to be a key string, also one with a typing error.
func isKeyString(text string) bool { return strings.HasPrefix(text, "lk_") }

// checkID refuses what cannot be the id of a key, before any look-up. It repeats nothing, since it may be a secret.
func checkID(id string) error {
	if isKeyString(id) {
		return errKeyForID
	}
	if !keystring.IsID(id) {
		return errors.New("there is no such key: an id has 12 letters and digits and begins with E or H")
	}
	return nil
}

// sentence is err for the person at the terminal: what a fault says by itself is for programs. id is the key that it is
// about, "" for none.
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

// flagOf is the flag that sets a field, as the beginning of a sentence. A problem of an existing key, which id names, is
// of no flag but --grace.
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

// withoutKeys is text with every key string, whole or not, taken out: the parser of the command line repeats what it
// does not understand.
func withoutKeys(text string) string {
	return keystring.Redact(text, func(keystring.Environment, string) string { return "[a key]" })
}
