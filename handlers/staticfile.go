package handlers

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"

	"github.com/gofiber/fiber/v2"
)

// staticFile is a body that is the same for every caller. Answers are written from the one copy in memory, plain or compressed.
type staticFile struct {
	contentType string
	plain       representation
	gzip        representation // without a body if compression saves nothing
}

// representation is the plain or the compressed form of a file. A strong ETag needs a value for each form.
type representation struct {
	body []byte
	etag string
}

func represent(body []byte) representation {
	sum := sha256.Sum256(body)
	return representation{body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// newStaticFile compresses plain, if that makes it smaller.
func newStaticFile(contentType string, plain []byte) *staticFile {
	var compressed bytes.Buffer
	writer, _ := gzip.NewWriterLevel(&compressed, gzip.BestCompression) // fails for an unknown level only
	_, _ = writer.Write(plain)                                          // a buffer does not fail
	_ = writer.Close()
	return newCompressedFile(contentType, plain, compressed.Bytes())
}

// newCompressedFile is newStaticFile for a file that is already compressed.
func newCompressedFile(contentType string, plain, compressed []byte) *staticFile {
	file := &staticFile{contentType: contentType, plain: represent(plain)}
	if len(compressed) < len(plain) {
		file.gzip = represent(compressed)
	}
	return file
}

// answer sends the form that the caller prefers, or 304 if the caller has it.
func (f *staticFile) answer(c *fiber.Ctx, out *largeBodies) error {
	header := &c.Request().Header
	chosen := &f.plain
	if f.gzip.body != nil {
		c.Vary(fiber.HeaderAcceptEncoding)
		if prefersGzip(header.PeekAll(fiber.HeaderAcceptEncoding)) {
			chosen = &f.gzip
		}
	}
	c.Set(fiber.HeaderETag, chosen.etag)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if etagMatches(header.PeekAll(fiber.HeaderIfNoneMatch), chosen.etag) {
		c.Status(fiber.StatusNotModified)
		return nil
	}
	if chosen == &f.gzip {
		c.Set(fiber.HeaderContentEncoding, "gzip")
	}
	c.Set(fiber.HeaderContentType, f.contentType)
	if c.Method() == fiber.MethodHead || len(chosen.body) <= smallBody {
		c.Response().SetBodyRaw(chosen.body)
		return nil
	}
	return out.send(c, chosen.body)
}
