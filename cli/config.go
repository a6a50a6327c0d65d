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

// Help is what --help adds.
func (configCmd) Help() string { return configs.Describe() }

// Run prints the effective configuration, and the names in .env that set nothing. It fails, after printing, where serve
// would refuse it.
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

// warnings is what is not refused, but probably not meant.
func warnings(loaded *configs.Loaded) []string {
	return append(loaded.Warnings(), app.StoreOptions(loaded.Config).Remarks()...)
}
