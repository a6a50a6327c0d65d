//go:build torture && linux

package harness

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Memory is a value of /proc/PID/status, in KiB.
func (p *Process) Memory(t *testing.T, name string) int {
	t.Helper()
	return procStatus(t, p.Cmd.Process.Pid, name)
}

func procStatus(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	value, err := strconv.Atoi(FirstMatch(t, string(text), `(?m)^`+name+`:\s+(\d+)`))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// AllowedCores are the cores that this process may use.
func AllowedCores(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var cores []string
	for part := range strings.SplitSeq(FirstMatch(t, string(text), `(?m)^Cpus_allowed_list:\s+(\S+)`), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, _ := strconv.Atoi(from)
		last, _ := strconv.Atoi(to)
		for core := first; core <= last; core++ {
			cores = append(cores, strconv.Itoa(core))
		}
	}
	return cores
}

// Pin keeps every thread of a process on the cores.
func Pin(t *testing.T, pid int, cores string) {
	t.Helper()
	out, err := exec.Command("taskset", "--all-tasks", "--cpu-list", "--pid", cores, strconv.Itoa(pid)).CombinedOutput()
	if err != nil {
		Unavailable(t, "taskset: %v: %s", err, out)
	}
}

// Heap is the heap in use, in MiB.
func (p *Process) Heap(t *testing.T) float64 {
	t.Helper()
	return SumMetric(p.OpsPage(t, "/metrics"), "go_memstats_heap_inuse_bytes") / (1 << 20)
}
