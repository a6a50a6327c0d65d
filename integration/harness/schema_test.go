package harness

import (
	"encoding/json"
	"testing"
)

func TestSchemaCheckRefuses(t *testing.T) {
	var account schema
	err := json.Unmarshal([]byte(`{"type":"object","required":["id"],"properties":{
		"id":{"type":"string"},"tags":{"type":["array","null"],"items":{"type":"string","enum":["a","b"]}},
		"loc":{"anyOf":[{"type":"string"},{"type":"integer"}]}}}`), &account)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		value string
		ok    bool
	}{
		{`{"id":"1"}`, true},
		{`{"id":"1","tags":["a","b"],"loc":1}`, true},
		{`{"id":"1","tags":null}`, true},
		{`{"id":1}`, false},
		{`{}`, false},
		{`[]`, false},
		{`{"id":"1","tags":["c"]}`, false},
		{`{"id":"1","tags":[1]}`, false},
		{`{"id":"1","loc":1.5}`, false},
		{`{"id":"1","secret":"x"}`, false},
	}
	for _, tt := range tests {
		var value any
		if err := json.Unmarshal([]byte(tt.value), &value); err != nil {
			t.Fatal(err)
		}
		if err := account.Check("account", value); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want ok %v", tt.value, err, tt.ok)
		}
	}
}
