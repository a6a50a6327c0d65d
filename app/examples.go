package app

import "github.com/latchkey-api/latchkey/handlers"

// exampleAnswers are the answers that the documentation shows.
type exampleAnswers struct {
	stevenm, alice         handlers.Account
	barfood, foobar        handlers.Storyspace
	storyspaces            []handlers.Storyspace
	caller                 handlers.Caller
	key, disabled, revoked handlers.Key
	made                   handlers.NewKey
	rotated                handlers.RotatedKey
	listed                 []handlers.ListedKey
	events                 []handlers.Event
}

func examples() exampleAnswers {
	key := handlers.Key{
		ID: "E4hYx0aQbWm2", Client: "acme", Kind: "ed25519", Scopes: []string{"accounts:read"},
		CreatedAt: "2026-11-23T12:00:00Z", State: "enabled", Hint: "E4hYx0aQbWm2...c9Zq",
	}
	old, disabled, revoked := key, key, key
	old.ID, old.RotatedTo, old.ExpiresAt, old.Hint = "E8sKd3vTpLn1", key.ID, "2026-11-24T12:00:00Z", "E8sKd3vTpLn1...x7Rt"
	disabled.State, revoked.State = "disabled", "revoked"
	secret := "lk_test_" + key.ID + "_<43 characters of secret and 6 of checksum>"
	successor := key
	successor.RotatedFrom = old.ID
	return exampleAnswers{
		stevenm:     handlers.Account{ID: "2112", Username: "stevenm"},
		alice:       handlers.Account{ID: "mrs7x2ptmcfyhuwzq3mqkdzwae", Username: "alice", Email: "alice@example.com"},
		barfood:     handlers.Storyspace{ID: "2113", Name: "barfood"},
		foobar:      handlers.Storyspace{ID: "wqj5d6slm3vxq2rcn7ktyafezi", Name: "foobar"},
		storyspaces: []handlers.Storyspace{{ID: "1", Name: "barfood"}, {ID: "2", Name: "bazbars"}},
		caller: handlers.Caller{
			Key: "shared", Client: "shared", ExpiresAt: "2026-11-23T12:00:00Z",
			Scopes: []string{"accounts:read", "accounts:write", "storyspaces:read", "storyspaces:write"},
		},
		key: key, disabled: disabled, revoked: revoked,
		made:    handlers.NewKey{Key: key, Secret: secret},
		rotated: handlers.RotatedKey{Key: successor, Secret: secret, Replaces: old},
		listed:  []handlers.ListedKey{{Key: key}},
		events:  []handlers.Event{{Time: "2026-11-23T12:00:00Z", Actor: "cli", Action: "create", Target: key.ID, Count: 1}},
	}
}
