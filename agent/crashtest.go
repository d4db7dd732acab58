//go:build crashtest

package agent

import "time"

// Each offer of the channel "crash" ends the process, as a fault in a library's goroutine does, which no recover of
// ours sees.
func init() {
	crashAt = func(channel string) {
		if channel == "crash" {
			go panic("injected")
			time.Sleep(time.Minute)
		}
	}
}
