package integration

import (
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// TestDeployment checks the contract on the service at LATCHKEY_URL.
func TestDeployment(t *testing.T) { checkContract(t, harness.Deployment(t)) }
