package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/latchkey-api/latchkey/app"
	"github.com/latchkey-api/latchkey/configs"
)

type configCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is shown by --help, below the usage.
func (configCmd) Help() string { return configs.Describe() }

// Run prints the effective settings, and the names in .env that are no settings. If serve would refuse the settings, it
// still prints them, and then fails.
func (c configCmd) Run(r *command) error {
	loaded, err := configs.LoadAndValidate(r.sources)
	listed := slices.Concat(loaded.Settings, loaded.Ignored)
	for _, warning := range warnings(loaded) {
		r.say("Warning: %s", warning)
	}
	if c.JSON {
		encoder := json.NewEncoder(r.stdout)
		encoder.SetIndent("", "  ")
		return errors.Join(encoder.Encode(listed), err)
	}
	table := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	for _, s := range listed {
		if s.Ignored {
			s.Value = "(ignored: no setting of this service)"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Value, s.Layer)
	}
	return errors.Join(table.Flush(), err)
}

// warnings are about settings that are allowed but probably a mistake.
func warnings(loaded *configs.Loaded) []string {
	return append(loaded.Warnings(), app.StoreOptions(loaded.Config).Remarks()...)
}
