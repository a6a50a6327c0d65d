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

// offer sends body as a handler does, and returns what the engine writes.
func offer(t *testing.T, out *largeBodies, body []byte) (io.WriterTo, *fiber.Ctx, error) {
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

// free reports whether all slots are free.
func (o *largeBodies) free() bool {
	if !o.slots.TryAcquire(sendersAtOnce) {
		return false
	}
	o.slots.Release(sendersAtOnce)
	return true
}

func TestLargeBodyIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, body := newLargeBodies(), bytes.Repeat([]byte("0123456789"), 100_000)
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
			t.Errorf("a slot is still taken: %v", err)
		}
	})
}

// Clients that stop reading lose their slots, and others are served meanwhile.
func TestLargeBodyOfAReaderWhoStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, body := newLargeBodies(), make([]byte, 1<<20)
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
		time.Sleep(slotLease + 1)
		if !out.free() {
			t.Error("a slot is still taken")
		}
	})
}

// The slot is released although the body is never written, as after a lost connection.
func TestLargeBodyThatIsNeverWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newLargeBodies()
		for range sendersAtOnce {
			if _, _, err := offer(t, out, make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if out.free() {
			t.Error("no slot is taken")
		}
		time.Sleep(slotLease + 1)
		if !out.free() {
			t.Error("a slot is still taken")
		}
	})
}

// Without a free slot a request waits, and then gets 429.
func TestLargeBodyWithoutAFreeSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newLargeBodies()
		if err := out.slots.Acquire(t.Context(), sendersAtOnce); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, c, err := offer(t, out, make([]byte, 1<<20))
		if fault.CodeOf(err) != fault.TooManyRequests || time.Since(began) != senderWait || c.GetRespHeader("Retry-After") == "" {
			t.Errorf("%v after %v, Retry-After %q", err, time.Since(began), c.GetRespHeader("Retry-After"))
		}
		// A slot that is released in time is taken.
		time.AfterFunc(senderWait/2, func() { out.slots.Release(1) })
		if _, _, err := offer(t, out, make([]byte, 1<<20)); err != nil {
			t.Errorf("not served by a slot that came free: %v", err)
		}
	})
}

// The request's deadline ends the wait for a slot.
func TestLargeBodyWaitEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newLargeBodies()
		if err := out.slots.Acquire(t.Context(), sendersAtOnce); err != nil {
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

// All bodies share the rate.
func TestLargeBodyRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newLargeBodies()
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
