package listener

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// twoWay is a net.Pipe whose directions can be closed one by one, as those of TCP.
type twoWay struct{ net.Conn }

func (twoWay) CloseWrite() error { return nil }

func TestLingerReadsWhatIsStillSent(t *testing.T) {
	tests := []struct {
		name   string
		linger time.Duration
		pause  time.Duration // between two pieces of what the client sends
		piece  int
		want   time.Duration // until the connection is closed
	}{
		{"slowly, for ever", 30 * time.Second, 4 * time.Second, 1, 30 * time.Second},
		{"not any more", 30 * time.Second, time.Hour, 0, lingerIdle},
		{"too slowly", 30 * time.Second, lingerIdle + time.Second, 1, lingerIdle},
		{"as fast as can be", 30 * time.Second, 0, 1 << 20, 0},
		{"for a short time", time.Second, 100 * time.Millisecond, 1, time.Second},
		{"not asked to wait", 0, time.Second, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				conn := &lingeringConn{Conn: twoWay{server}}
				conn.Linger(tt.linger)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for err := error(nil); err == nil; time.Sleep(tt.pause) {
						_, err = client.Write(make([]byte, tt.piece))
					}
				}()
				began := time.Now()
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != tt.want {
					t.Errorf("closed after %v, want %v", took, tt.want)
				}
				_ = client.Close()
				<-ended
			})
		})
	}
}
