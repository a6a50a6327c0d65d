package cli

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/latchkey-api/latchkey/keys/keystring"
)

type keysPemCmd struct {
	Key *string `help:"The key string. Other users can see it among the arguments of this process." env:"LATCHKEY_KEY" placeholder:"KEY"`
}

// Help is what --help adds.
func (keysPemCmd) Help() string {
	return "The key string is taken from --key, from LATCHKEY_KEY in the environment, or from the first line of standard " +
		"input. What is given as an argument can be seen by other users of the machine while the command runs, and stays in " +
		"the history of the shell: the other two are not. An hs256 key has no PEM: its key string is the HMAC secret as it is."
}

// Run prints a key as PEM. It needs no store and no configuration.
func (c keysPemCmd) Run(r *command, all *keysCmd) error {
	given := c.Key
	if given == nil {
		line, err := r.readKey(os.Stdin)
		if err != nil {
			return err
		}
		given = &line
	}
	key, err := parseKey(*given)
	if err != nil {
		return err
	}
	encoded, err := key.PEM()
	if err != nil {
		return err
	}
	if all.JSON {
		return r.printJSON(struct {
			ID  string `json:"id"`
			PEM string `json:"pem"`
		}{key.ID(), string(encoded)})
	}
	_, err = r.stdout.Write(encoded)
	return err
}

// parseKey reads a key string that was given by a flag, by the environment, or typed. Nothing at all is told apart:
// where a variable was expected to hold a key, whoever set none must not get something else instead.
func parseKey(text string) (keystring.Key, error) {
	if text == "" {
		return keystring.Key{}, errors.New("the key is empty: give a key string, or unset LATCHKEY_KEY")
	}
	return keystring.Parse(text)
}

// maxLine is far more than any key string has.
const maxLine = 1 << 10

// readKey reads the first line of in.
func (r *command) readKey(in *os.File) (string, error) {
	if info, err := in.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		r.say("Paste the key string and press Enter:")
	}
	return r.input("the key", func() (string, error) {
		line, err := bufio.NewReader(io.LimitReader(in, maxLine)).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return strings.TrimSpace(line), err
	})
}
