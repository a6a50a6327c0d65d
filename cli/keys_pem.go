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

// Help is shown by --help, below the usage.
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

// parseKey parses a key string from a flag, the environment or standard input. Empty text is an error of its own: an empty
// variable must not mean that another key is used.
func parseKey(text string) (keystring.Key, error) {
	if text == "" {
		return keystring.Key{}, errors.New("the key is empty: give a key string, or unset LATCHKEY_KEY")
	}
	return keystring.Parse(text)
}

// maxLine is far longer than a key string.
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
