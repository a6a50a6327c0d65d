package integration

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// readFile is a file of this repository, by its path from the module root.
func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decodeYAML refuses every field that v does not have: a misspelled one would do nothing, and nobody would be told.
func decodeYAML(text string, v any) error {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	return decoder.Decode(v)
}

// image is what the Dockerfile says of the image.
type image struct {
	env    map[string]string
	user   string
	health bool
}

func dockerfile(t *testing.T) image {
	t.Helper()
	text := readFile(t, "Dockerfile")
	_, last, _ := strings.Cut(text, "FROM scratch")
	found := image{env: map[string]string{}, health: strings.Contains(last, `CMD ["/latchkey", "health"]`)}
	for _, name := range []string{"APP_ENV", "DATABASE_URL"} {
		found.env[name] = firstMatch(t, last, name+`=(\S+)`)
	}
	found.user = firstMatch(t, last, `USER (\d+):\d+`)
	return found
}

func firstMatch(t *testing.T, text, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("nothing matches %s", pattern)
	}
	return match[1]
}

// settingsOf is what the program, in its image and with this environment, takes each setting to be. refused is what it
// says where it would not start.
func settingsOf(t *testing.T, bin string, env map[string]string) (settings map[string]string, refused string) {
	t.Helper()
	all := dockerfile(t).env
	maps.Copy(all, env)
	stdout, stderr, code := command(t, bin, t.TempDir(), all, "config", "--json")
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

// secretEnv is a value for each secret setting, fresh and good.
func secretEnv(s secrets, databaseURL string) map[string]string {
	replaced := freshSecrets()
	return map[string]string{
		"API_KEY": s.apiKey, "JWT_SECRET_KEY": s.secretKey, "MASTER_KEY": s.masterKey, "DATABASE_URL": databaseURL,
		"JWT_SECRET_KEY_PREVIOUS": replaced.secretKey, "MASTER_KEY_PREVIOUS": replaced.masterKey,
	}
}

// codeBlock is the code of a document, in this language, below the comment that begins with name.
func codeBlock(t *testing.T, document, name, language string) string {
	t.Helper()
	_, comment, found := strings.Cut(readFile(t, document), "<!-- "+name+": ")
	_, block, opened := strings.Cut(comment, " -->\n```"+language+"\n")
	block, _, closed := strings.Cut(block, "```\n")
	if !found || !opened || !closed {
		t.Fatalf("%s has no block %q", document, name)
	}
	return block
}
