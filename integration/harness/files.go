package harness

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// ReadFile reads a file of this repository, by its path from the module root.
func ReadFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// DecodeYAML refuses unknown fields: a misspelled field would silently do nothing.
func DecodeYAML(text string, v any) error {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	return decoder.Decode(v)
}

// Dockerfile is the part of the Dockerfile that tests compare with.
type Dockerfile struct {
	Env    map[string]string
	User   string
	Health bool
}

// ReadDockerfile reads the last stage of the Dockerfile.
func ReadDockerfile(t *testing.T) Dockerfile {
	t.Helper()
	text := ReadFile(t, "Dockerfile")
	_, last, _ := strings.Cut(text, "FROM scratch")
	found := Dockerfile{Env: map[string]string{}, Health: strings.Contains(last, `CMD ["/latchkey", "health"]`)}
	for _, name := range []string{"APP_ENV", "DATABASE_URL"} {
		found.Env[name] = FirstMatch(t, last, name+`=(\S+)`)
	}
	found.User = FirstMatch(t, last, `USER (\d+):\d+`)
	return found
}

// FirstMatch is the first group of the first match of pattern.
func FirstMatch(t *testing.T, text, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return match[1]
}

// ReadSettings asks the program (config --json) for the value of each setting, with the image's environment and env. refused
// is the error where it would not start.
func ReadSettings(t *testing.T, bin string, env map[string]string) (settings map[string]string, refused string) {
	t.Helper()
	all := ReadDockerfile(t).Env
	maps.Copy(all, env)
	stdout, stderr, code := RunCommand(t, bin, t.TempDir(), all, "config", "--json")
	var rows []struct{ Name, Value string }
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil {
		t.Fatalf("config --json: %v: %s%s", err, stdout, stderr)
	}
	settings = map[string]string{}
	for _, row := range rows {
		settings[row.Name] = row.Value
	}
	if code != 0 {
		refused = stderr
	}
	return settings, refused
}

// SecretEnv has a valid value for each secret setting.
func SecretEnv(s Secrets, databaseURL string) map[string]string {
	replaced := FreshSecrets()
	return map[string]string{
		"API_KEY": s.APIKey, "JWT_SECRET_KEY": s.SecretKey, "MASTER_KEY": s.MasterKey, "DATABASE_URL": databaseURL,
		"JWT_SECRET_KEY_PREVIOUS": replaced.SecretKey, "MASTER_KEY_PREVIOUS": replaced.MasterKey,
	}
}

// CodeBlock is the code of a document, in this language, below the comment that begins with name.
func CodeBlock(t *testing.T, document, name, language string) string {
	t.Helper()
	_, comment, found := strings.Cut(ReadFile(t, document), "<!-- "+name+": ")
	_, block, opened := strings.Cut(comment, " -->\n```"+language+"\n")
	block, _, closed := strings.Cut(block, "```\n")
	if !found || !opened || !closed {
		t.Fatalf("%s has no block %q", document, name)
	}
	return block
}
