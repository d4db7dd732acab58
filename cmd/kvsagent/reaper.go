package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// As the first process of a container we inherit the processes whose parents have gone, and nobody else would reap
// them: each would keep its number, and those come to an end. Our own children are waited for by who started them, and
// at once; so who is still a zombie after some looks at it has nobody.
const (
	reapEvery = 2 * time.Second
	reapLooks = 3
)

// reap reaps the orphans of a container for as long as the process runs.
func reap() {
	seen := map[int]int{} // looks at each zombie
	for range time.Tick(reapEvery) {
		seen = reapOnce(seen, os.Getpid())
	}
}

// reapOnce looks at the zombies that are children of a process, ours, and reaps those that have been there for long.
func reapOnce(seen map[int]int, parent int) map[int]int {
	next := map[int]int{}
	for _, pid := range zombies(parent) {
		if next[pid] = seen[pid] + 1; next[pid] >= reapLooks {
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == pid && err == nil {
				delete(next, pid)
			}
		}
	}
	return next
}

// zombies lists the children of a process that have ended and were not waited for.
func zombies(parent int) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// proc_pid_stat(5): the name, in parentheses, may have parentheses of its own.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) < 2 || string(f[0]) != "Z" || string(f[1]) != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
