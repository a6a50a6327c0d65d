// Latchkey is an HTTP API service whose callers prove their API key with a short-lived JWT.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/latchkey-api/latchkey/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, as Go does by default.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args, os.Stdout, os.Stderr))
}
