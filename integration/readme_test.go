package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/latchkey-api/latchkey/integration/harness"
)

// TestReadmeJourney runs the README's script about the life of a key in a shell, with a server in an empty folder and the
// built program in PATH.
func TestReadmeJourney(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "sed", "cut"} {
		if _, err := exec.LookPath(tool); err != nil {
			harness.Unavailable(t, "the README's script was not run: %v", err)
		}
	}
	script := harness.CodeBlock(t, "README.md", "journey", "sh")
	bin, dir := harness.BuildBinary(t), t.TempDir()
	env := map[string]string{"PORT": "0", "OPS_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json"}
	p := harness.Launch(t, bin, dir, env)
	p.WaitReady(t)

	shell := exec.CommandContext(t.Context(), "sh", "-euc", script)
	shell.Dir = dir
	shell.Env = append(harness.Environment(map[string]string{"LATCHKEY_URL": p.URL}), "PATH="+filepath.Dir(bin)+string(os.PathListSeparator)+os.Getenv("PATH"))
	var said strings.Builder
	shell.Stderr = &said
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, said.String())
	}
	first, last := `{"id":"2112","username":"stevenm"}`, `{"detail":"Incorrect API token"}`
	if got := string(out); !strings.HasPrefix(got, first) || !strings.HasSuffix(strings.TrimSpace(got), last) {
		t.Errorf("the script printed\n%s\nand said\n%s\nwant %s first and %s last", got, said.String(), first, last)
	}
}
