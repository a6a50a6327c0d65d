package handlers

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/store"
)

// Accounts serves the account routes.
type Accounts struct {
	Store *store.Store
}

// Account is an account as callers see it; optional fields that are not set are left out.
type Account struct {
	ID        string `json:"id" example:"2112" required:"true" description:"Opaque."`
	Username  string `json:"username" example:"stevenm" required:"true"`
	Email     string `json:"email,omitempty"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	AvatarURL string `json:"avatar_url,omitempty"`
}

// AccountByUsername is the request for one account by its name.
type AccountByUsername struct {
	Username string `path:"username" example:"stevenm" description:"The account's name."`
}

// AccountByID is the request for one account by its id.
type AccountByID struct {
	AccountID string `query:"account_id" example:"2112" required:"true" description:"The account's id."`
}

// RegisterAccount is the request for a new account.
type RegisterAccount struct {
	Username  string `json:"username" example:"alice" required:"true" pattern:"^[A-Za-z0-9._-]{1,64}$" description:"1..64 of A-Z a-z 0-9 . _ - and neither '.', '..' nor 'register'."`
	ID        string `json:"id" pattern:"^[A-Za-z0-9._-]{0,64}$" description:"The account's id; one is made where it is left out or empty."`
	Email     string `json:"email" example:"alice@example.com" maxLength:"254"`
	FirstName string `json:"first_name" maxLength:"120"`
	LastName  string `json:"last_name" maxLength:"120"`
	AvatarURL string `json:"avatar_url" maxLength:"2048"`
}

// ByUsername answers one account, or fault.NotFound.
func (a *Accounts) ByUsername(c *fiber.Ctx) error {
	username := pathParam(c, "username")
	if !plainName(username) { // no account can have it
		return fault.New(fault.NotFound)
	}
	row, err := a.Store.AccountByUsername(c.UserContext(), username)
	if err != nil {
		return err
	}
	return c.JSON(account(row))
}

// ByID answers one account, or fault.NotFound.
func (a *Accounts) ByID(c *fiber.Ctx) error {
	var wrong fields
	id := wrong.query(c, "account_id")
	if err := wrong.err(); err != nil {
		return err
	}
	if !plainName(id) {
		return fault.New(fault.NotFound)
	}
	row, err := a.Store.AccountByID(c.UserContext(), id)
	if err != nil {
		return err
	}
	return c.JSON(account(row))
}

// Register creates an account, or answers fault.Conflict if the username or the id is taken.
func (a *Accounts) Register(c *fiber.Ctx) error {
	var in RegisterAccount
	if err := decodeBody(c, &in); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	row, err := a.Store.CreateAccount(c.UserContext(), store.Account{
		ID: in.ID, Username: in.Username, Email: in.Email,
		FirstName: in.FirstName, LastName: in.LastName, AvatarURL: in.AvatarURL,
	})
	if err != nil {
		return err
	}
	c.Location("/service/account/" + row.Username)
	return c.Status(fiber.StatusCreated).JSON(account(row))
}

func (in *RegisterAccount) check() error {
	var wrong fields
	switch {
	case in.Username == "":
		wrong.add(inBody, "username", "field required", "missing")
	case !plainName(in.Username) || strings.Trim(in.Username, ".") == "" && len(in.Username) <= 2 || in.Username == "register":
		wrong.add(inBody, "username", "must be 1 to 64 of A-Z a-z 0-9 . _ - and neither '.', '..' nor 'register'", "string_pattern_mismatch")
	}
	if in.ID != "" && !plainName(in.ID) {
		wrong.add(inBody, "id", "must be 1 to 64 of A-Z a-z 0-9 . _ -", "string_pattern_mismatch")
	}
	wrong.optional("email", in.Email, 254)
	wrong.optional("first_name", in.FirstName, 120)
	wrong.optional("last_name", in.LastName, 120)
	wrong.optional("avatar_url", in.AvatarURL, 2048)
	return wrong.err()
}

func account(row store.Account) Account {
	return Account{
		ID: row.ID, Username: row.Username, Email: row.Email,
		FirstName: row.FirstName, LastName: row.LastName, AvatarURL: row.AvatarURL,
	}
}
