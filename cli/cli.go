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

// settingsGroup is the title of the settings' flags.
const settingsGroup = "Settings"

// commandLine is every command and its flags.
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

// helpCmd is listed here, and carried out by Main.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command."`
}

// command is what a command may use.
type command struct {
	ctx            context.Context //nolint:containedctx // one value a run of the program
	stdout, stderr io.Writer
	// name is how the program was called, for lines that can be pasted.
	name string
	// sources are the layers of the configuration that the command line adds to.
	sources configs.Sources
	// queues stand before stdout and stderr, where the command waits for neither.
	queues []*logqueue.Queue
}

// Main runs the command line and returns the exit code: 0, 1 where the command failed, 2 where it was called wrongly.
// What a command prints goes to stdout, and so does the log of serve; what it has to say about itself, to stderr.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var commands commandLine
	flags := settingFlags()
	exited := -1
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
	parsed, err := parser.Parse(helped(args[1:]))
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

// helped turns "help keys create" into "keys create --help".
func helped(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	return append(slices.Clone(args[1:]), "--help")
}

// help prints the help of kong, with the settings only where they matter most: there are too many to read past.
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

// calledAs is the command that starts this program again.
func calledAs(program string) string {
	if strings.Contains(filepath.ToSlash(program), "/go-build") { // where `go run` builds
		return "go run ."
	}
	return program
}

// settingFlags makes a flag of every setting that is no secret, from the table of the settings, so that neither can
// lack what the other has. It returns a pointer to a struct of *string fields, one a setting.
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

// given are the settings that were set by flags.
func given(flags any) map[string]string {
	set := map[string]string{}
	for field, value := range reflect.ValueOf(flags).Elem().Fields() {
		if text, ok := reflect.TypeAssert[*string](value); ok && text != nil {
			set[strings.TrimPrefix(field.Name, "Flag_")] = *text
		}
	}
	return set
}

// input is what read makes of standard input. A person who does not want to type can interrupt it.
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

// say prints a sentence for the person at the terminal.
func (r *command) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.stderr, format+"\n", args...)
}

// queue puts a queue before w, so that writing never waits for who reads w. missing is as with logqueue.New.
func (r *command) queue(w io.Writer, missing func(lines int64)) *logqueue.Queue {
	q := logqueue.New(w, missing)
	r.queues = append(r.queues, q)
	return q
}

// lastWords is how long the end of the program may wait until what is queued is written.
const lastWords = time.Second

// flush ends the queues.
func (r *command) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	for _, q := range r.queues {
		q.Close(ctx)
	}
}

// loadStore reads what it takes to open the store.
func (r *command) loadStore() (*configs.Loaded, error) {
	src := r.sources
	src.Only = []string{"APP_ENV", "DATABASE_URL"}
	return configs.Load(src)
}
