// Package integration tests the service from outside, over HTTP: the built binary, the built container, or any deployment.
//
// It imports no code of the service, and mints tokens with the standard library, like a foreign client. Helpers are in harness.
//
//	go test ./integration/                       the binary, and the container where an engine answers
//	LATCHKEY_IMAGE=name:tag go test ...          that image instead of building one
//	LATCHKEY_URL=https://... go test ...         a deployment instead of the container
//
// A deployment needs DEMO_DATA=true and the default JWT_ settings. The suite leaves accounts and keys with random names there.
// What it must know is in variables:
//   - LATCHKEY_API_KEY, LATCHKEY_JWT_SECRET_KEY and LATCHKEY_JWT_AUDIENCE, or the same names without LATCHKEY_
//   - LATCHKEY_ADMIN_KEY, a key string with the scope keys:admin only; without it registered keys are not tested
//   - LATCHKEY_OPS_URL, the operations address; without it metrics are not tested
//
// With CI=true a missing container engine, Chromium or openssl is a failure, elsewhere a skip.
package integration
