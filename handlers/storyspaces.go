package handlers

import (
	"net/url"

	"github.com/gofiber/fiber/v2"

	"github.com/latchkey-api/latchkey/fault"
	"github.com/latchkey-api/latchkey/store"
)

// Storyspaces serves the storyspace routes.
type Storyspaces struct {
	Store *store.Store
}

// Storyspace is a storyspace as callers see it.
type Storyspace struct {
	ID   string `json:"id" example:"2113" required:"true" description:"Opaque."`
	Name string `json:"name" example:"barfood" required:"true"`
}

// StoryspacesOf is the request for the storyspaces of a user.
type StoryspacesOf struct {
	Username string `query:"username" example:"stevenm" required:"true" description:"Whose storyspaces; a user with none, or nobody, has an empty list."`
	Limit    int    `query:"limit" example:"50" default:"50" minimum:"1" maximum:"200" description:"The longest list to answer."`
	Cursor   string `query:"cursor" description:"Where to go on: taken from the Link header of the page before."`
}

// StoryspaceByID is the request for one storyspace.
type StoryspaceByID struct {
	ID string `path:"id" example:"2113" description:"The storyspace's id."`
}

// BeginStoryspace is the request for a new storyspace.
type BeginStoryspace struct {
	Username string `json:"username" example:"stevenm" required:"true" description:"Whose storyspace it is to be."`
	Name     string `json:"name" example:"foobar" required:"true" minLength:"1" maxLength:"120"`
}

// List answers the storyspaces of a user, oldest first.
func (s *Storyspaces) List(c *fiber.Ctx) error {
	var wrong fields
	username := wrong.query(c, "username")
	page := wrong.page(c, store.ListStoryspaces)
	if err := wrong.err(); err != nil {
		return err
	}
	list := make([]Storyspace, 0, page.Size)
	if !plainName(username) { // nobody can have it
		return c.JSON(list)
	}
	rows, next, err := s.Store.Storyspaces(c.UserContext(), username, page)
	if err != nil {
		return err
	}
	for _, row := range rows {
		list = append(list, Storyspace(row))
	}
	nextPage(c, "/service/storyspaces/", url.Values{"username": {username}}, page.Size, next)
	return c.JSON(list)
}

// ByID answers one storyspace, or fault.NotFound.
func (s *Storyspaces) ByID(c *fiber.Ctx) error {
	id := pathParam(c, "id")
	if !plainName(id) {
		return fault.New(fault.NotFound)
	}
	row, err := s.Store.Storyspace(c.UserContext(), id)
	if err != nil {
		return err
	}
	return c.JSON(Storyspace(row))
}

// Begin creates a storyspace, or answers fault.NotFound for an unknown user.
func (s *Storyspaces) Begin(c *fiber.Ctx) error {
	var in BeginStoryspace
	if err := decodeBody(c, &in); err != nil {
		return err
	}
	var wrong fields
	wrong.required("username", in.Username, maxName)
	wrong.required("name", in.Name, 120)
	if err := wrong.err(); err != nil {
		return err
	}
	if !plainName(in.Username) {
		return fault.New(fault.NotFound)
	}
	row, err := s.Store.CreateStoryspace(c.UserContext(), in.Username, in.Name)
	if err != nil {
		return err
	}
	c.Location("/service/storyspaces/" + row.ID)
	return c.Status(fiber.StatusCreated).JSON(Storyspace(row))
}
