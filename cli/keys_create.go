package cli

import (
	"strings"
	"time"

	"github.com/latchkey-api/latchkey/handlers"
	"github.com/latchkey-api/latchkey/keys"
	"github.com/latchkey-api/latchkey/keys/keystring"
	"github.com/latchkey-api/latchkey/store"
)

type keysCreateCmd struct {
	Client  string         `help:"Whom the key is for; required." placeholder:"NAME"`
	Scope   []string       `help:"What the key may do; required, can be repeated." placeholder:"SCOPE" sep:"none"`
	Kind    string         `help:"ed25519, or hs256, which any JWT library can sign with, and which needs MASTER_KEY. Default: ed25519." placeholder:"KIND"`
	Rate    *float64       `help:"Requests a second, 0.001 to 1000000. Default: no limit." placeholder:"NUMBER"`
	Burst   *int           `help:"Requests at once, 1 to 1000000; needs a rate. Default: the rate, rounded up." placeholder:"NUMBER"`
	Expires *time.Duration `help:"For how long the key is accepted, such as 2160h. Default: for ever." placeholder:"DURATION"`
}

// Help is shown by --help, below the usage.
func (keysCreateCmd) Help() string {
	return "The scopes are " + strings.Join(keys.EveryScope().Names(), ", ") + ". Only the key string goes to standard output, so that " +
		"KEY=$(latchkey keys create ...) holds it and nothing more."
}

// Run makes a key and prints its key string.
func (c keysCreateCmd) Run(r *command, all *keysCmd) error {
	return r.withStore(store.Options{}, keystring.Kind(c.Kind) == keystring.HS256, func(a administration) error {
		request := keys.Request{Client: c.Client, Scopes: c.Scope, Kind: c.Kind, Rate: c.Rate, Burst: c.Burst}
		if c.Expires != nil {
			request.ExpiresAt = new(time.Now().Add(*c.Expires))
		}
		record, text, err := a.keyring.Create(r.ctx, cliActor(), request)
		if err != nil {
			return sentence(err, "")
		}
		made := handlers.NewKey{Key: handlers.KeyOf(record), Secret: text.Reveal()}
		if !all.JSON {
			r.say("Made key %s", inWords(made.Key))
		}
		return r.printSecret(all.JSON, made, made.Key.ID, made.Secret)
	})
}
