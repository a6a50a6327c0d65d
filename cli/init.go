package cli

import (
	"errors"

	"github.com/latchkey-api/latchkey/configs"
)

type initCmd struct{}

// Run writes .env.
func (initCmd) Run(r *command) error {
	src := r.sources
	src.Only = []string{"APP_ENV"}
	loaded, err := configs.Load(src)
	if err != nil {
		return err
	}
	if loaded.Config.AppEnv != configs.Development {
		return errors.New("init is for development: in production, set API_KEY and JWT_SECRET_KEY in the environment")
	}
	created, err := configs.Bootstrap(r.sources.Dir)
	switch {
	case err != nil:
		return err
	case created:
		r.say("Wrote .env with fresh secrets for development. Keep it out of version control.")
		r.say("Start the server with: %s", r.name)
	default:
		r.say("There is a .env already; it was left as it is. If it names no API_KEY and JWT_SECRET_KEY, add them, or remove it and run init again.")
	}
	return nil
}
