package listener

import (
	"math"
	"net"

	"golang.org/x/sys/unix"
)

// ignoreNew attaches a packet filter to the listener that drops the first packet of every new connection (SYN). Handshakes
// that have begun still complete. An ignored client tries again after about a second.
func ignoreNew(listener *net.TCPListener) error {
	const (
		flags = 13 // offset in the TCP header
		syn   = 0x02
		ack   = 0x10
	)
	program := [...]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},              // dropped
		{Code: unix.BPF_RET | unix.BPF_K, K: math.MaxUint32}, // accepted as a whole
	}
	raw, err := listener.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	if err != nil {
		return err
	}
	return refused
}
