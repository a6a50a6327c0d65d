// Package harness is everything of the suite that is no test. Each file is named after what it gives:
//
//	targets    target.go, process.go, container.go, deployment.go, instances.go
//	requests   call.go (send and check), raw.go (bytes that no client would send), tokens.go, key.go, cli.go
//	the API    openapi.go, schema.go, accounts.go, keys.go, pages.go, accesslog.go, metrics.go
//	around it  postgres.go, pgbouncer.go, haproxy.go, balancer.go, cable.go, faultload.go
//	files      files.go (of this repository), output.go (of a program)
//	torture    dialog.go, loop.go, proc.go, farstore.go: only with the build tag torture
//
// Like the tests it imports no code of the service: it speaks HTTP, and mints tokens with the standard library.
package harness
