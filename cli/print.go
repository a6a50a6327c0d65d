package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// sayMigrations prints the migrations that opening a store has applied: a server of an older version may be running.
func (r *command) sayMigrations(applied []string) {
	if len(applied) > 0 && !strings.HasPrefix(applied[0], "00001_") { // a new store: nothing to report
		r.say("The schema of the store was brought up to date: %s.", strings.Join(applied, ", "))
	}
}

// printJSON prints an object of the HTTP API.
func (r *command) printJSON(object any) error {
	encoder := json.NewEncoder(r.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(object)
}

// printSecret prints the only copy of a key string: alone, or with asJSON the object that contains it.
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

// inWords describes a key in one line.
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

// printKey prints one key, with the member names of the JSON.
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

// note is what is special about a key, for the list.
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
