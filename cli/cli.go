// Package cli is the command line: one command a file. It reads the settings, opens what a command needs, and prints.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/latchkey-api/latchkey/configs"
	"github.com/latchkey-api/latchkey/internal/logqueue"
)

// The exit codes of the command line.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// settingsGroup is the title, in the help, of the flags that are settings.
const settingsGroup = "Settings"

// commandLine has every command and its flags.
type commandLine struct {
	Serve   serveCmd   `cmd:"" default:"withargs" help:"Serve the API. This is what happens when no command is given."`
	Init    initCmd    `cmd:"" help:"Write a .env with fresh secrets into this folder, for development."`
	Token   tokenCmd   `cmd:"" help:"Print a token that the API accepts, for the shared key or for --key."`
	Keys    keysCmd    `cmd:"" help:"Make, list and change the keys of clients."`
	Explain explainCmd `cmd:"" help:"Say why a token is refused, or what it may do."`
	Config  configCmd  `cmd:"" help:"Print every setting, its value, and where the value comes from. Secrets are masked."`
	Migrate migrateCmd `cmd:"" help:"Bring the schema of the store up to date. serve does so, too."`
	Backup  backupCmd  `cmd:"" help:"Copy the store into a new file, also beside a running server."`
	Restore restoreCmd `cmd:"" help:"Put a backup in the place of the store, while no server runs."`
	Openapi openapiCmd `cmd:"" help:"Print the OpenAPI document."`
	Health  healthCmd  `cmd:"" help:"Ask a running server whether it is ready; the exit code says so."`
	Version versionCmd `cmd:"" help:"Print the version."`
	Help    helpCmd    `cmd:"" help:"Print the help of a command, as its --help does."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// helpCmd is only for the list in the help: Main turns it into --help.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command."`
}

// command is what the commands share.
type command struct {
	ctx            context.Context //nolint:containedctx // one value a run of the program
	stdout, stderr io.Writer
	// name is how the program was started, for command lines that are printed.
	name string
	// sources are where the settings are read from, the flags among them.
	sources configs.Sources
	// queues are in front of stdout and stderr when writing must not block.
	queues []*logqueue.Queue
}

// Main runs the command line and returns the exit code: 0; 1 when the command failed; 2 for wrong usage. Results go to
// stdout, and so does the log of serve. Messages to the person go to stderr.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var commands commandLine
	flags := settingFlags()
	exited := -1 // the exit code that kong asked for
	parser, err := kong.New(&commands,
		kong.Name("latchkey"),
		kong.Description("An HTTP API whose callers prove their API key with a short-lived JWT.\n\n"+
			"Every command also takes the settings as flags, such as --port=9000: latchkey serve --help lists them."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.Help(help),
		kong.Embed(flags),
		kong.Vars{"version": versionLine()},
	)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "latchkey:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(withHelpFlag(args[1:]))
	if exited >= 0 { // --help was printed
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "latchkey: %s\nTry 'latchkey --help'.\n", withoutKeys(err.Error()))
		return exitUsage
	}
	run := &command{
		ctx: ctx, stdout: stdout, stderr: stderr, name: calledAs(args[0]),
		sources: configs.Sources{Flags: given(flags)},
	}
	defer run.flush(context.WithoutCancel(ctx))
	if err := parsed.Run(run); err != nil {
		for line := range strings.Lines(err.Error()) {
			_, _ = fmt.Fprintln(run.stderr, "latchkey:", strings.TrimSuffix(line, "\n"))
		}
		return exitFailed
	}
	return exitOK
}

// withHelpFlag turns "help keys create" into "keys create --help".
func withHelpFlag(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	return append(slices.Clone(args[1:]), "--help")
}

// help prints the help. The settings, which are many, are shown only for serve, and for health those that it reads.
func help(options kong.HelpOptions, parsed *kong.Context) error {
	shown := func(flag string) bool {
		return parsed.Command() == "serve" || parsed.Command() == "health" && slices.Contains([]string{"host", "port", "tls-cert-file"}, flag)
	}
	for _, flag := range parsed.Model.Flags {
		if flag.Group != nil && flag.Group.Key == settingsGroup && !shown(flag.Name) {
			flag.Hidden = true
		}
	}
	options.Compact = true
	return kong.DefaultHelpPrinter(options, parsed)
}

// calledAs is the command to type to start this program again.
func calledAs(program string) string {
	if strings.Contains(filepath.ToSlash(program), "/go-build") { // where `go run` builds
		return "go run ."
	}
	return program
}

// settingFlags makes a flag for every setting that is not a secret. It returns a pointer to a struct with a *string field
// for each. The struct is built from the table of settings, so that no flag can be forgotten.
func settingFlags() any {
	rows := append(configs.Names(), configs.Setting{Name: "CONFIG_FILE", Description: "a YAML file with settings: " +
		"their names in lower case, such as port: 8000"})
	var fields []reflect.StructField
	for _, s := range rows {
		if s.Secret {
			continue
		}
		flag := strings.ReplaceAll(strings.ToLower(s.Name), "_", "-")
		help := strings.NewReplacer(`"`, `'`, "`", "'", "$", "$$").Replace(s.Description)
		fields = append(fields, reflect.StructField{
			Name: "Flag_" + s.Name,
			Type: reflect.TypeFor[*string](),
			Tag:  reflect.StructTag(fmt.Sprintf(`name:%q help:%q group:%q placeholder:"VALUE"`, flag, help, settingsGroup)),
		})
	}
	return reflect.New(reflect.StructOf(fields)).Interface()
}

// given has the settings that flags have set.
func given(flags any) map[string]string {
	set := map[string]string{}
	for field, value := range reflect.ValueOf(flags).Elem().Fields() {
		if text, ok := reflect.TypeAssert[*string](value); ok && text != nil {
			set[strings.TrimPrefix(field.Name, "Flag_")] = *text
		}
	}
	return set
}

// input runs read, which reads from standard input, until it ends or the program is interrupted.
func (r *command) input(what string, read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case got := <-done:
		if got.err != nil {
			return "", fmt.Errorf("read %s from standard input: %w", what, got.err)
		}
		return got.text, nil
	case <-r.ctx.Done():
		return "", errors.New("interrupted")
	}
}

// say prints a message to the person at the terminal.
func (r *command) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.stderr, format+"\n", args...)
}

// queue puts a queue in front of w, so that writing does not block when nobody reads. missing is as in logqueue.New.
func (r *command) queue(w io.Writer, missing func(lines int64)) *logqueue.Queue {
	q := logqueue.New(w, missing)
	r.queues = append(r.queues, q)
	return q
}

// flushTimeout is how long the program waits at its end until the queues are written.
const flushTimeout = time.Second

// flush writes what is queued and ends the queues.
func (r *command) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	for _, q := range r.queues {
		q.Close(ctx)
	}
}

// loadStore reads the settings that are needed to open the store.
func (r *command) loadStore() (*configs.Loaded, error) {
	src := r.sources
	src.Only = []string{"APP_ENV", "DATABASE_URL"}
	return configs.Load(src)
}
