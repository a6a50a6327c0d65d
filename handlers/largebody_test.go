package handlers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/latchkey-api/latchkey/fault"
)

// offer asks for a place as a handler does, and gives the body as the engine gets it.
func offer(t *testing.T, out *outlet, body []byte) (io.WriterTo, *fiber.Ctx, error) {
	t.Helper()
	app := fiber.New()
	c := app.AcquireCtx(&fasthttp.RequestCtx{})
	t.Cleanup(func() { app.ReleaseCtx(c) })
	if err := out.send(c, body); err != nil {
		return nil, c, err
	}
	stream, ok := c.Response().BodyStream().(io.WriterTo)
	if !ok {
		t.Fatal("the answer is no body that writes itself")
	}
	return stream, c, nil
}

// stalled is a connection whose client takes nothing.
type stalled struct{ until chan struct{} }

func (s stalled) Write([]byte) (int, error) {
	<-s.until
	return 0, errors.New("the client has gone")
}

// free says whether every place is free.
func (o *outlet) free() bool {
	if !o.places.TryAcquire(sendersAtOnce) {
		return false
	}
	o.places.Release(sendersAtOnce)
	return true
}

func TestLargeBodyIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, body := newOutlet(), bytes.Repeat([]byte("0123456789"), 100_000)
		stream, c, err := offer(t, out, body)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Response().Header.ContentLength(); got != len(body) {
			t.Errorf("Content-Length %d, want %d", got, len(body))
		}
		var sent bytes.Buffer
		if n, err := stream.WriteTo(&sent); err != nil || n != int64(len(body)) || !bytes.Equal(sent.Bytes(), body) {
			t.Errorf("%d of %d bytes sent, %v", n, len(body), err)
		}
		if err := c.Response().CloseBodyStream(); err != nil || !out.free() {
			t.Errorf("a place is still taken: %v", err)
		}
	})
}

// TestLargeBodyOfAReaderWhoStops: they lose their places, and those who read are served in the meantime.
func TestLargeBodyOfAReaderWhoStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, body := newOutlet(), make([]byte, 1<<20)
		gone := make(chan struct{})
		ended := make(chan error)
		for range 3 * sendersAtOnce {
			stream, _, err := offer(t, out, body)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := stream.WriteTo(stalled{gone})
				ended <- err
			}()
		}
		stream, _, err := offer(t, out, body)
		if err != nil {
			t.Fatalf("nobody else is served: %v", err)
		}
		if n, err := stream.WriteTo(io.Discard); err != nil || n != int64(len(body)) {
			t.Errorf("%d bytes sent, %v", n, err)
		}
		close(gone)
		for range 3 * sendersAtOnce {
			if err := <-ended; err == nil {
				t.Error("a body that was not taken counts as sent")
			}
		}
		time.Sleep(readerPatience + 1)
		if !out.free() {
			t.Error("a place is still taken")
		}
	})
}

// TestLargeBodyThatIsNeverWritten: a place comes back where the body is never written, as with a connection that ended.
func TestLargeBodyThatIsNeverWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newOutlet()
		for range sendersAtOnce {
			if _, _, err := offer(t, out, make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if out.free() {
			t.Error("no place is taken")
		}
		time.Sleep(readerPatience + 1)
		if !out.free() {
			t.Error("a place is still taken")
		}
	})
}

// TestLargeBodyWithoutAFreePlace: whoever finds no place waits a while and is asked to come again.
func TestLargeBodyWithoutAFreePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newOutlet()
		if err := out.places.Acquire(t.Context(), sendersAtOnce); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, c, err := offer(t, out, make([]byte, 1<<20))
		if fault.CodeOf(err) != fault.TooManyRequests || time.Since(began) != senderWait || c.GetRespHeader("Retry-After") == "" {
			t.Errorf("%v after %v, Retry-After %q", err, time.Since(began), c.GetRespHeader("Retry-After"))
		}
		// A place that comes free in time is taken.
		time.AfterFunc(senderWait/2, func() { out.places.Release(1) })
		if _, _, err := offer(t, out, make([]byte, 1<<20)); err != nil {
			t.Errorf("not served by a place that came free: %v", err)
		}
	})
}

// TestLargeBodyWaitEndsWithTheRequest: the request's own deadline ends the wait, too.
func TestLargeBodyWaitEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newOutlet()
		if err := out.places.Acquire(t.Context(), sendersAtOnce); err != nil {
			t.Fatal(err)
		}
		app := fiber.New()
		c := app.AcquireCtx(&fasthttp.RequestCtx{})
		defer app.ReleaseCtx(c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.SetUserContext(ctx)
		began := time.Now()
		if err := out.send(c, make([]byte, 1<<20)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestLargeBodyRate: all bodies together are sent with the rate, however many there are.
func TestLargeBodyRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newOutlet()
		const senders, each = 4, 16 << 20
		began, ended := time.Now(), make(chan error)
		for range senders {
			stream, _, err := offer(t, out, make([]byte, each))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := stream.WriteTo(io.Discard)
				ended <- err
			}()
		}
		for range senders {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		least := time.Duration(float64(senders*each-sendersAtOnce*sendPart) / bytesPerSecond * float64(time.Second))
		if took := time.Since(began); took < least || took > 2*least {
			t.Errorf("took %v, want %v or little more", took, least)
		}
	})
}
