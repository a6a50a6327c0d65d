package app

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
)

// TestOpenAPIHasEveryNameOfAClosedSet: tags of structs repeat sets that other packages define.
func TestOpenAPIHasEveryNameOfAClosedSet(t *testing.T) {
	document, err := openAPI(table(nil, nil, handlers.Live), "test")
	if err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := json.Unmarshal(document, &whole); err != nil {
		t.Fatal(err)
	}
	sets := map[string]string{
		"kind": fmt.Sprint(keystring.Kinds()), "state": fmt.Sprint(keys.States()), "action": fmt.Sprint(keys.Actions()),
	}
	found := map[string]int{}
	check := func(name string, schema any) {
		enum, ok := schema.(map[string]any)["enum"]
		if want, set := sets[name]; set && ok {
			found[name]++
			if got := fmt.Sprint(enum); got != want {
				t.Errorf("%s is documented as one of %s, want %s", name, got, want)
			}
		}
	}
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, member := range value {
				walk(member)
			}
		case map[string]any:
			if properties, ok := value["properties"].(map[string]any); ok {
				for name, schema := range properties {
					check(name, schema)
				}
			}
			if name, ok := value["name"].(string); ok && value["schema"] != nil {
				check(name, value["schema"])
			}
			for _, member := range value {
				walk(member)
			}
		}
	}
	walk(whole)
	for name := range sets {
		if found[name] == 0 {
			t.Errorf("no %s is documented with its set", name)
		}
	}
}
