package harness

import (
	"bytes"
	"fmt"
	"sync"
)

// Tail is the end of text, at most n bytes.
func Tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return fmt.Sprintf("[%d bytes left out]\n%s", len(text)-n, text[len(text)-n:])
}

// Output is a buffer that a program writes while a test reads.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *Output) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *Output) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
