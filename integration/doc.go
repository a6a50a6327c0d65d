// Package integration proves the service from outside: every promise a caller can see, over HTTP, against the built
// binary and the built container, or against any deployment.
//
// It imports nothing of this module and mints its tokens with the standard library, as a stranger's client would.
//
//	go test ./integration/                       the binary, and the container where an engine answers
//	LATCHKEY_IMAGE=name:tag go test ...          that image instead of building one
//	LATCHKEY_URL=https://... go test ...         a deployment instead of the container
//
// A deployment needs DEMO_DATA=true and the default JWT_ settings. Its secrets come from LATCHKEY_API_KEY, LATCHKEY_JWT_SECRET_KEY and
// LATCHKEY_JWT_AUDIENCE, or the same names without LATCHKEY_; LATCHKEY_OPS_URL, if set, is where its metrics are.
// LATCHKEY_ADMIN_KEY is the key string of a registered key with the scope keys:admin alone; without it nothing is tested of
// registered keys. The suite registers accounts, and issues keys, of random names there and leaves them behind.
//
// With CI=true a missing container engine, Chromium or openssl is a failure; elsewhere it is a skip that says so.
package integration
