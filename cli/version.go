package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

func versionLine() string {
	return fmt.Sprintf("latchkey %s (%s, %s/%s)", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version is set when a release is built: -ldflags "-X github.com/latchkey-api/latchkey/cli.version=v1.2.3".
var version string

// versionText is the version of the release, or else that of the build information.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Run prints the version.
func (versionCmd) Run(r *command) error {
	_, err := fmt.Fprintln(r.stdout, versionLine())
	return err
}
