package cli

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"unicode"
)

// operator is the user and the machine of this process, as user@host. The user comes from the operating system, because
// anybody can set the variable USER.
func operator() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return plain(systemUser()) + "@" + plain(host)
}

// systemUser is the user name of this process. If the user has no name, as in a container, it is the user id.
func systemUser() string {
	uid := os.Getuid()
	if uid < 0 { // Windows has no user ids
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

// maxPlain is the maximum length of a name in the audit, in bytes.
const maxPlain = 100

// plain makes a name printable, without spaces and short, for the audit.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, name)
	return strings.ToValidUTF8(name[:min(len(name), maxPlain)], "")
}
