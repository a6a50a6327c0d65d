//go:build torture && linux

package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// GetRequest is a request for path, with more header lines.
func GetRequest(path, lines string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n"
}

// LoopCounts counts the answers to callers in a loop.
type LoopCounts struct {
	OK, Refused, Failed atomic.Int64
	bytes               atomic.Int64
	Took                time.Duration
}

// Wrong is the number of answers other than 200, and of failures.
func (c *LoopCounts) Wrong() int64 { return c.Refused.Load() + c.Failed.Load() }

// PerSecond is the rate of the answers with 200.
func (c *LoopCounts) PerSecond() float64 { return float64(c.OK.Load()) / c.Took.Seconds() }

func (c *LoopCounts) String() string {
	return fmt.Sprintf("%.0f/s, %.0f MB/s, %d refused, %d failed", c.PerSecond(), float64(c.bytes.Load())/c.Took.Seconds()/1e6,
		c.Refused.Load(), c.Failed.Load())
}

// Loops sends request in a loop on each connection, for the duration d.
func (p *Process) Loops(t *testing.T, request string, connections int, d time.Duration) *LoopCounts {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return p.LoopsUntil(ctx, request, connections)
}

// LoopsUntil is Loops until ctx ends.
func (p *Process) LoopsUntil(ctx context.Context, request string, connections int) *LoopCounts {
	result, began := &LoopCounts{}, time.Now()
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := p.Loop(ctx, request, result); err != nil && ctx.Err() == nil {
					result.Failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	result.Took = time.Since(began)
	return result
}

// Loop uses one connection until it ends.
func (p *Process) Loop(ctx context.Context, request string, result *LoopCounts) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(p.URL, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	reader := bufio.NewReaderSize(conn, 64<<10)
	for {
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		status, size, err := readAnswer(reader)
		if err != nil {
			return err
		}
		result.bytes.Add(int64(size))
		if status == http.StatusOK {
			result.OK.Add(1)
		} else {
			result.Refused.Add(1)
		}
	}
}

// readAnswer reads one answer with little work: http.ReadResponse would be slower than the server.
func readAnswer(reader *bufio.Reader) (status, size int, err error) {
	for first := true; ; first = false {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		switch {
		case first:
			status, _ = strconv.Atoi(string(line[9:12]))
		case len(line) <= 2:
			_, err = reader.Discard(size)
			return status, size, err
		case len(line) > 16 && strings.EqualFold(string(line[:16]), "Content-Length: "):
			size, _ = strconv.Atoi(strings.TrimSpace(string(line[16:])))
		}
	}
}
