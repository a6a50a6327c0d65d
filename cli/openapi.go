package cli

import (
	"fmt"

	"github.com/latchkey-api/latchkey/app"
)

type openapiCmd struct{}

// Run prints the OpenAPI document. It needs neither settings nor a store.
func (openapiCmd) Run(r *command) error {
	document, err := app.OpenAPI(versionText())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.stdout, string(document))
	return err
}
