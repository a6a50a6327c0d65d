package middleware

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

func TestDeadlineWithoutATimer(t *testing.T) {
	early := &lazyContext{at: time.Now().Add(time.Hour)}
	if err := early.Err(); err != nil || early.real != nil {
		t.Errorf("before the deadline: %v, timer made: %v", err, early.real != nil)
	}
	late := &lazyContext{at: time.Now().Add(-time.Nanosecond)}
	if err := late.Err(); !errors.Is(err, context.DeadlineExceeded) || late.real != nil {
		t.Errorf("after the deadline: %v, timer made: %v", err, late.real != nil)
	}
	if at, ok := early.Deadline(); !ok || at != early.at {
		t.Errorf("the deadline is %v, %v", at, ok)
	}
}

func TestDeadlineWithATimer(t *testing.T) {
	ctx := &lazyContext{at: time.Now().Add(time.Millisecond)}
	<-ctx.Done()
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	ctx.stop()
}

func TestDeadlineContextEndsWithItsRequest(t *testing.T) {
	waited := &lazyContext{at: time.Now().Add(time.Hour)}
	child, cancel := context.WithCancel(waited)
	defer cancel()
	waited.stop()
	<-child.Done()
	if err := child.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("work for an answered request goes on: %v", err)
	}

	idle := &lazyContext{at: time.Now().Add(time.Hour)}
	idle.stop()
	if err := idle.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("Done was never called: %v", err)
	}
	<-idle.Done() // called after the end, it is closed as well
}

func TestDeadlineChildNeedsNoGoroutine(t *testing.T) {
	ctx := &lazyContext{at: time.Now().Add(time.Hour)}
	defer ctx.stop()
	if ctx.Value(struct{}{}) != nil {
		t.Error("a value that nobody set")
	}
	started := false
	_ = context.AfterFunc(ctx, func() { started = true })
	if started {
		t.Error("called before the end")
	}
	if at, ok := ctx.Deadline(); !ok || at.IsZero() {
		t.Error("no deadline")
	}
}

func TestDeadlineEndsARequest(t *testing.T) {
	app := service(t, io.Discard, func(o *Options) { o.RequestTimeout = 10 * time.Millisecond })
	if answer, body := send(t, app, "GET", "/waits"); answer.StatusCode != 504 || body != `{"detail":"Gateway Timeout"}` {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func BenchmarkDeadline(b *testing.B) {
	b.Run("noted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx := &lazyContext{at: time.Now().Add(time.Hour)}
			if ctx.Err() != nil {
				b.Fatal("over")
			}
			ctx.stop()
		}
	})
	b.Run("timer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			if ctx.Err() != nil {
				b.Fatal("over")
			}
			cancel()
		}
	})
}
