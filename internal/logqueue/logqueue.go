// Package logqueue keeps a log away from whoever writes to it. Standard output is somebody else's process: its reader may
// stop reading, or go away, and neither may cost more than lines.
package logqueue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxQueued is how many bytes may wait to be written; as many may be under way in one write.
const maxQueued = 4 << 20

const (
	// gather is how long a line may wait for others, so that a busy log needs a write a millisecond and not one a line.
	gather = time.Millisecond
	// retry is the pause before the next try, where the other end takes nothing now.
	retry = 10 * time.Millisecond
	// keep is the most memory that the queue holds on to while it is empty.
	keep = 256 << 10
)

// Queue is a log with one writer behind it. Its methods may be called at the same time.
type Queue struct {
	out     io.Writer
	most    int
	missing func(lines int64)
	dropped atomic.Int64
	ended   chan struct{} // closed when the writer has ended
	torn    bool          // the writer's: the other end has the beginning of a line

	mu     sync.Mutex
	filled sync.Cond
	queued []byte // whole lines
	closed bool
}

// New starts the writer of a queue in front of out. missing, if it is not nil, is called where lines are missing, once the
// other end takes lines again; what it writes to the queue stands in their place.
func New(out io.Writer, missing func(lines int64)) *Queue { return start(out, maxQueued, missing) }

func start(out io.Writer, most int, missing func(int64)) *Queue {
	q := &Queue{out: out, most: most, missing: missing, ended: make(chan struct{})}
	q.filled.L = &q.mu
	go q.run()
	return q
}

// Write queues lines, each with its end of line, or drops them all where they do not fit or the queue is closed. It keeps
// nothing of p, never waits for the other end, and never fails.
func (q *Queue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.queued)+len(p) > q.most {
		q.drop(p)
		return len(p), nil
	}
	if len(q.queued) == 0 {
		q.filled.Signal()
	}
	q.queued = append(q.queued, p...)
	return len(p), nil
}

// Dropped is how many lines were lost: those that did not fit, and those that could not be written.
func (q *Queue) Dropped() int64 { return q.dropped.Load() }

// Close ends the queue and waits until what it holds is written, or ctx ends.
func (q *Queue) Close(ctx context.Context) {
	q.mu.Lock()
	q.closed = true
	q.filled.Signal()
	q.mu.Unlock()
	select {
	case <-q.ended:
	case <-ctx.Done():
	}
}

// run writes what is queued until the queue is closed and empty. Two buffers take turns: one is filled, one is written.
func (q *Queue) run() {
	defer close(q.ended)
	var batch []byte
	var told int64
	reaches := true // the last write was a success
	for q.wait() {
		batch = q.swap(batch[:0])
		// Lines are dropped while the queue is full, so their place is behind what has just been taken out.
		if lost := q.Dropped(); reaches && lost > told && q.missing != nil {
			lost, told = lost-told, lost
			q.missing(lost)
		}
		reaches = q.write(batch)
		if cap(batch) > keep {
			batch = nil
		}
	}
}

// wait waits for lines, and a moment for more of them. It says no once the queue is closed and empty.
func (q *Queue) wait() (more bool) {
	q.mu.Lock()
	for len(q.queued) == 0 && !q.closed {
		q.filled.Wait()
	}
	more, closed := len(q.queued) > 0, q.closed
	q.mu.Unlock()
	if !closed {
		time.Sleep(gather)
	}
	return more
}

// swap gives out what is queued and puts an empty buffer in its place.
func (q *Queue) swap(empty []byte) (lines []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, q.queued = q.queued, empty
	return lines
}

// write says whether the other end took all lines. The others count as dropped.
func (q *Queue) write(lines []byte) bool {
	if q.torn { // the line that the other end has half of must not run into the next one
		if _, ok := q.send([]byte(endOfLine)); !ok {
			q.drop(lines)
			return false
		}
		q.torn = false
	}
	n, ok := q.send(lines)
	if !ok {
		q.torn = n > 0 && lines[n-1] != '\n'
		q.drop(lines[n:])
	}
	return ok
}

// send writes p, and says how much of it was written before an error that does not pass.
func (q *Queue) send(p []byte) (n int, ok bool) {
	for {
		m, err := q.out.Write(p[n:])
		n += m
		if !errors.Is(err, syscall.EAGAIN) { // a pipe that another process made non-blocking, and that is full
			return n, err == nil
		}
		time.Sleep(retry)
	}
}

func (q *Queue) drop(lines []byte) {
	q.dropped.Add(int64(bytes.Count(lines, []byte(endOfLine))))
}

const endOfLine = "\n"
