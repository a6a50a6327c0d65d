package logqueue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// reader is the other end. While it is blocked, a write hangs as it does on a full pipe.
type reader struct {
	blocked chan struct{} // a write waits for it to close
	entered chan struct{} // gets a value when a write begins to wait

	mu     sync.Mutex
	fails  []failure // of the next writes, one each
	text   bytes.Buffer
	writes int
}

// failure is an error after n bytes.
type failure struct {
	n   int
	err error
}

func newReader() *reader {
	open := make(chan struct{})
	close(open)
	return &reader{blocked: open, entered: make(chan struct{}, 1)}
}

func blockedReader() *reader {
	return &reader{blocked: make(chan struct{}), entered: make(chan struct{}, 1)}
}

func (r *reader) Write(p []byte) (int, error) {
	select {
	case r.entered <- struct{}{}:
	default:
	}
	<-r.blocked
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	if len(r.fails) == 0 {
		return r.text.Write(p)
	}
	f := r.fails[0]
	r.fails = r.fails[1:]
	n, _ := r.text.Write(p[:min(f.n, len(p))])
	return n, f.err
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func say(t *testing.T, q *Queue, line string) {
	t.Helper()
	if n, err := io.WriteString(q, line); n != len(line) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(line), err)
	}
}

// end closes q, which must write everything that it holds.
func end(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q.Close(ctx)
	if ctx.Err() != nil {
		t.Fatal("the queue does not come to its end")
	}
}

func TestLinesStayWholeAndInOrder(t *testing.T) {
	r := newReader()
	q := New(r, nil)
	const writers, lines = 8, 2000
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range lines {
				_, _ = fmt.Fprintf(q, "%d %d %s\n", w, i, strings.Repeat("x", i%50))
			}
		})
	}
	all.Wait()
	end(t, q)
	next := map[int]int{}
	for line := range strings.Lines(r.String()) {
		var w, i int
		var rest string
		if n, _ := fmt.Sscanf(line, "%d %d %s\n", &w, &i, &rest); n < 2 || next[w] != i || len(rest) != i%50 {
			t.Fatalf("%q after line %d of its writer", line, next[w]-1)
		}
		next[w]++
	}
	for w := range writers {
		if next[w] != lines {
			t.Errorf("writer %d: %d lines of %d", w, next[w], lines)
		}
	}
	if q.Dropped() != 0 {
		t.Errorf("%d lines dropped", q.Dropped())
	}
	if r.writes >= writers*lines/2 {
		t.Errorf("%d writes for %d lines", r.writes, writers*lines)
	}
}

func TestABlockedReaderCostsLinesOnly(t *testing.T) {
	r := blockedReader()
	missing := make(chan int64, 10)
	q := start(r, 50, func(lines int64) { missing <- lines })
	say(t, q, "the first\n")
	<-r.entered           // the writer hangs with it
	line := "123456789\n" // five fit
	for range 12 {
		say(t, q, line)
	}
	say(t, q, strings.Repeat("x", 60)+"\n") // longer than the whole queue
	if got := q.Dropped(); got != 8 {
		t.Errorf("%d lines dropped, want 8", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	begin := time.Now()
	q.Close(ctx)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the end waited %v for the reader", took)
	}
	say(t, q, "too late\n")
	if got := q.Dropped(); got != 9 {
		t.Errorf("%d lines dropped after the end, want 9", got)
	}
	close(r.blocked)
	end(t, q)
	if got, want := r.String(), "the first\n"+strings.Repeat(line, 5); got != want {
		t.Errorf("the reader that came back got %q, want %q", got, want)
	}
	if got := <-missing; got != 9 {
		t.Errorf("the holes are told as %d lines, want 9", got)
	}
}

func TestTheLogTellsOfItsHoles(t *testing.T) {
	r := blockedReader()
	var q *Queue
	told := make(chan struct{})
	q = start(r, 20, func(lines int64) {
		_, _ = fmt.Fprintf(q, "lost: %d\n", lines)
		close(told)
	})
	say(t, q, "a\n")
	<-r.entered
	for range 11 {
		say(t, q, "b\n")
	}
	close(r.blocked)
	<-told // and once only, or the channel is closed twice
	say(t, q, "c\n")
	end(t, q)
	if got, want := r.String(), "a\n"+strings.Repeat("b\n", 10)+"lost: 1\nc\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAReaderThatIsGoneIsCounted(t *testing.T) {
	r := newReader()
	r.fails = []failure{{0, syscall.EPIPE}}
	q := New(r, nil)
	say(t, q, "one\n")
	for q.Dropped() == 0 { // until the writer has met the error
		runtime.Gosched()
	}
	say(t, q, "two\n")
	end(t, q)
	if got := r.String(); got != "two\n" || q.Dropped() != 1 {
		t.Errorf("got %q, %d dropped", got, q.Dropped())
	}
}

// TestALineThatWasCutStaysAlone: a disk that is full takes half a line, and has room again later.
func TestALineThatWasCutStaysAlone(t *testing.T) {
	r := newReader()
	r.fails = []failure{{3, syscall.ENOSPC}, {0, syscall.ENOSPC}, {1, nil}, {0, syscall.ENOSPC}}
	q := New(r, nil)
	for i, line := range []string{"first\n", "second\n", "third\n", "fourth\n"} {
		say(t, q, line)
		for i < 3 && q.Dropped() == int64(i) { // until the writer has met the error
			runtime.Gosched()
		}
	}
	end(t, q)
	if got := r.String(); got != "fir\nfourth\n" || q.Dropped() != 3 {
		t.Errorf("got %q, %d dropped", got, q.Dropped())
	}
}

func TestANonBlockingReaderThatIsFullIsWaitedFor(t *testing.T) {
	r := newReader()
	full := fmt.Errorf("write: %w", syscall.EAGAIN)
	r.fails = []failure{{0, full}, {2, full}, {0, full}}
	q := New(r, nil)
	say(t, q, "whole\n")
	end(t, q)
	if got := r.String(); got != "whole\n" || q.Dropped() != 0 {
		t.Errorf("got %q, %d dropped", got, q.Dropped())
	}
}

func TestAClosedQueueEndsItsWriter(t *testing.T) {
	q := New(newReader(), nil)
	end(t, q)
	end(t, q)
	say(t, q, "a\nb\n")
	if q.Dropped() != 2 {
		t.Errorf("%d lines dropped, want 2", q.Dropped())
	}
}

// TestAGoneReaderIsNotToldForEver: the line about the holes is lost, too, and must not be written about again.
func TestAGoneReaderIsNotToldForEver(t *testing.T) {
	r := newReader()
	for range 1000 {
		r.fails = append(r.fails, failure{0, syscall.EPIPE})
	}
	var q *Queue
	q = New(r, func(lines int64) { _, _ = fmt.Fprintf(q, "lost: %d\n", lines) })
	for i := range int64(5) {
		say(t, q, "x\n")
		for q.Dropped() == i {
			runtime.Gosched()
		}
	}
	end(t, q)
	if q.Dropped() != 5 {
		t.Errorf("%d lines dropped, want the 5 that were written", q.Dropped())
	}
}

func BenchmarkWrite(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	q := New(null, nil)
	line := []byte(strings.Repeat("x", 230) + "\n")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := q.Write(line); errors.Is(err, io.ErrShortWrite) {
				b.Error(err)
			}
		}
	})
	q.Close(b.Context())
}
