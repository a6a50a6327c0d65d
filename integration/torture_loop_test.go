//go:build torture && linux

package integration

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

// get is a request for path, with more header lines.
func get(path, lines string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n"
}

// counts is what callers in a loop were answered.
type counts struct {
	ok, refused, failed atomic.Int64
	bytes               atomic.Int64
	took                time.Duration
}

func (c *counts) wrong() int64 { return c.refused.Load() + c.failed.Load() }

func (c *counts) perSecond() float64 { return float64(c.ok.Load()) / c.took.Seconds() }

func (c *counts) String() string {
	return fmt.Sprintf("%.0f/s, %.0f MB/s, %d refused, %d failed", c.perSecond(), float64(c.bytes.Load())/c.took.Seconds()/1e6,
		c.refused.Load(), c.failed.Load())
}

// loops sends request from so many connections, again and again, for a while.
func (p *process) loops(t *testing.T, request string, connections int, d time.Duration) *counts {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return p.loopsUntil(ctx, request, connections)
}

func (p *process) loopsUntil(ctx context.Context, request string, connections int) *counts {
	result, began := &counts{}, time.Now()
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := p.loop(ctx, request, result); err != nil && ctx.Err() == nil {
					result.failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	result.took = time.Since(began)
	return result
}

// loop uses one connection until it ends.
func (p *process) loop(ctx context.Context, request string, result *counts) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(p.url, "http://"))
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
			result.ok.Add(1)
		} else {
			result.refused.Add(1)
		}
	}
}

// readAnswer takes one answer off the connection, with little work: http.ReadResponse would be the slower side.
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
