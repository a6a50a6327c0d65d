package handlers

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/swaggest/swgui/v5/static"

	"github.com/latchkey-api/latchkey/fault"
)

// Docs serves the OpenAPI document and the page that shows it. All files are in the binary and the same for every caller, so they
// are prepared once.
type Docs struct {
	document *staticFile
	page     *staticFile
	policy   string
	assets   map[string]*staticFile // by name
	sender   *largeBodies
}

// docsPage is Swagger UI without its bar for the address of another document.
//
//go:embed docs.html
var docsPage []byte

// inlineScript matches the scripts inside the page.
var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// NewDocs makes the documentation of the given OpenAPI document.
func NewDocs(document []byte) (*Docs, error) {
	assets, err := swaggerFiles()
	if err != nil {
		return nil, fmt.Errorf("read the files of the documentation: %w", err)
	}
	scripts := []string{"'self'"}
	for _, script := range inlineScript.FindAllSubmatch(docsPage, -1) {
		hash := sha256.Sum256(script[1])
		scripts = append(scripts, "'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'")
	}
	return &Docs{
		document: newStaticFile(fiber.MIMEApplicationJSON, document),
		page:     newStaticFile(fiber.MIMETextHTMLCharsetUTF8, docsPage),
		// Swagger UI uses style attributes, and images in data: URLs.
		policy: "default-src 'none'; script-src " + strings.Join(scripts, " ") + "; style-src 'self' 'unsafe-inline'; " +
			"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		assets: assets,
		sender: newLargeBodies(),
	}, nil
}

// swaggerFiles are the files of Swagger UI, plain and compressed. Most are compressed in the binary.
func swaggerFiles() (map[string]*staticFile, error) {
	types := map[string]string{
		".css":  "text/css; charset=utf-8",
		".html": fiber.MIMETextHTMLCharsetUTF8,
		".js":   "text/javascript; charset=utf-8",
		".png":  "image/png",
	}
	files := map[string]*staticFile{}
	names, err := fs.Glob(static.FS, "*")
	if err != nil {
		return nil, err
	}
	for _, stored := range names {
		content, err := static.FS.ReadFile(stored)
		if err != nil {
			return nil, err
		}
		name, compressed := strings.CutSuffix(stored, ".gz")
		contentType, known := types[path.Ext(name)]
		if !known {
			return nil, fmt.Errorf("%s has no known content type", stored)
		}
		if !compressed {
			files[name] = newStaticFile(contentType, content)
			continue
		}
		reader, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", stored, err)
		}
		plain, err := io.ReadAll(reader)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", stored, err)
		}
		files[name] = newCompressedFile(contentType, plain, content)
	}
	return files, nil
}

// Document answers the OpenAPI document.
func (d *Docs) Document(c *fiber.Ctx) error { return d.document.answer(c, d.sender) }

// Page answers the documentation page.
func (d *Docs) Page(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentSecurityPolicy, d.policy)
	return d.page.answer(c, d.sender)
}

// Asset answers a file of the page.
func (d *Docs) Asset(c *fiber.Ctx) error {
	asset, ok := d.assets[strings.TrimSuffix(pathParam(c, "*"), "/")]
	if !ok {
		return fault.New(fault.NotFound)
	}
	return asset.answer(c, d.sender)
}
