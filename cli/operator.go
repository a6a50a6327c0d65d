package cli

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"unicode"
)

// operator is the system's user that runs this process and the machine it runs on, as user@host. The user is the one
// that the system knows, not the one that a variable of the environment names.
func operator() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return plain(systemUser()) + "@" + plain(host)
}

// systemUser is the name of this process's user, or its number where the system has no name for it, as in a container.
func systemUser() string {
	uid := os.Getuid()
	if uid < 0 { // Windows has no numbers
		if current, err := user.Current(); err == nil {
			return current.Username
		}
		return "unknown"
	}
	if known, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return known.Username
	}
	return "uid-" + strconv.Itoa(uid)
}

// maxPlain is the longest name that goes into the audit, in bytes.
const maxPlain = 100

// plain is a name that the system gave, fit for a row of the audit: printable, without spaces, and not too long.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, name)
	return strings.ToValidUTF8(name[:min(len(name), maxPlain)], "")
}
