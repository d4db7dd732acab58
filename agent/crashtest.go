//go:build crashtest

package agent

import "time"

// Each offer of the channel "crash" ends the process, as a fault in a library's goroutine does, which no recover of
// ours sees. Each offer of the channel "stuck" blocks the channel's loop for good.
func init() {
	crashAt = func(channel string) {
		switch channel {
		case "crash":
			go panic("injected")
			time.Sleep(time.Minute)
		case "stuck":
			time.Sleep(24 * time.Hour)
		}
	}
}
