package harness

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// schema is the part of JSON Schema that the service's answers are described with.
type schema struct {
	Type       types             `json:"type"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *schema           `json:"items"`
	Enum       []any             `json:"enum"`
	Const      any               `json:"const"`
	AnyOf      []schema          `json:"anyOf"`
	OneOf      []schema          `json:"oneOf"`
	AllOf      []schema          `json:"allOf"`
	Example    any               `json:"example"`
	Examples   []any             `json:"examples"`
}

// types is "string" or ["string", "null"].
type types []string

// UnmarshalJSON accepts both forms.
func (ts *types) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*ts = types{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(ts))
}

// example is the schema's own example.
func (s schema) example() (any, bool) {
	switch {
	case s.Example != nil:
		return s.Example, true
	case len(s.Examples) > 0:
		return s.Examples[0], true
	case s.Const != nil:
		return s.Const, true
	}
	return nil, false
}

// Check says where value is not what the schema describes. A member that the schema does not name is wrong, too: a
// caller's developer could not know of it.
func (s schema) Check(at string, value any) error {
	for _, part := range s.AllOf {
		if err := part.Check(at, value); err != nil {
			return err
		}
	}
	if choices := slices.Concat(s.AnyOf, s.OneOf); len(choices) > 0 {
		fits := func(choice schema) bool { return choice.Check(at, value) == nil }
		if !slices.ContainsFunc(choices, fits) {
			return fmt.Errorf("%s: %v fits none of the documented forms", at, value)
		}
	}
	if len(s.Type) > 0 && !slices.ContainsFunc(s.Type, func(name string) bool { return isType(name, value) }) {
		return fmt.Errorf("%s: %v is not of type %s", at, value, strings.Join(s.Type, " or "))
	}
	if s.Const != nil && !reflect.DeepEqual(s.Const, value) {
		return fmt.Errorf("%s: %v is not %v", at, value, s.Const)
	}
	if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e any) bool { return reflect.DeepEqual(e, value) }) {
		return fmt.Errorf("%s: %v is none of %v", at, value, s.Enum)
	}
	switch value := value.(type) {
	case map[string]any:
		return s.checkObject(at, value)
	case []any:
		for i, item := range value {
			if s.Items == nil {
				continue
			}
			if err := s.Items.Check(fmt.Sprintf("%s[%d]", at, i), item); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s schema) checkObject(at string, object map[string]any) error {
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("%s: the required member %q is missing", at, name)
		}
	}
	for name, value := range object {
		member, ok := s.Properties[name]
		if !ok && len(s.Properties) > 0 {
			return fmt.Errorf("%s: the member %q is not documented", at, name)
		}
		if err := member.Check(at+"."+name, value); err != nil {
			return err
		}
	}
	return nil
}

// isType knows the types of JSON Schema as encoding/json decodes them.
func isType(name string, value any) bool {
	switch value := value.(type) {
	case nil:
		return name == "null"
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && value == float64(int64(value))
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}
