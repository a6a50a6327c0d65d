package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"github.com/latchkey-api/latchkey/fault"
)

// Docs serves the documentation: the OpenAPI document and the page that shows it. All of it comes from the binary.
type Docs struct {
	document []byte
	etag     string
	page     []byte
	policy   string
	assets   fiber.Handler
}

// docsPath is where the page and its files are.
const docsPath = "/docs"

// inlineScript finds the scripts that stand in the page itself.
var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// NewDocs makes the documentation of the given OpenAPI document.
func NewDocs(document []byte) *Docs {
	sum := sha256.Sum256(document)
	ui := v5emb.NewHandlerWithConfig(swgui.Config{Title: "Latchkey", SwaggerJSON: "/openapi.json", BasePath: docsPath})

	// The page is the same for everybody, so it is rendered once, and the hashes of its inline scripts with it.
	rendered := page{header: http.Header{}}
	ui.ServeHTTP(&rendered, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: docsPath}})
	scripts := []string{"'self'"}
	for _, script := range inlineScript.FindAllSubmatch(rendered.Bytes(), -1) {
		hash := sha256.Sum256(script[1])
		scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'")
	}
	return &Docs{
		document: document,
		etag:     `"` + hex.EncodeToString(sum[:16]) + `"`,
		page:     rendered.Bytes(),
		// Swagger UI sets style attributes and shows images of its own as data.
		policy: "default-src 'none'; script-src " + strings.Join(scripts, " ") + "; style-src 'self' 'unsafe-inline'; " +
			"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		assets: adaptor.HTTPHandler(ui),
	}
}

// page is a http.ResponseWriter that keeps the body.
type page struct {
	bytes.Buffer

	header http.Header
}

func (p *page) Header() http.Header { return p.header }
func (p *page) WriteHeader(int)     {}

// Document answers the OpenAPI document.
func (d *Docs) Document(c *fiber.Ctx) error {
	c.Set(fiber.HeaderETag, d.etag)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if strings.Contains(c.Get(fiber.HeaderIfNoneMatch), d.etag) {
		return c.SendStatus(fiber.StatusNotModified)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Send(d.document)
}

// Page answers the documentation page.
func (d *Docs) Page(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentSecurityPolicy, d.policy)
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	return c.Send(d.page)
}

// Asset answers a file of the page.
func (d *Docs) Asset(c *fiber.Ctx) error {
	if err := d.assets(c); err != nil {
		return err
	}
	if c.Response().StatusCode() == fiber.StatusNotFound {
		return fault.New(fault.NotFound)
	}
	return nil
}
