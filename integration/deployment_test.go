package integration

import "testing"

// TestDeployment checks the contract on the service at LATCHKEY_URL.
func TestDeployment(t *testing.T) { checkContract(t, Deployment(t)) }
