// Command joins measures how long a page of a real browser waits for its first picture, and what it misses of it:
//
//	go run ./bench/joins -browser firefox -n 100
//	go run ./bench/joins -browser firefox -n 50 BEFORE AFTER
//
// Arguments are kvsagent binaries that take turns; without any it is one built from the tree. e2e/browser must have its
// node_modules (make provision).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kvsagent/kvsagent/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "joins:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o bench.BrowserOptions
	flag.StringVar(&o.Browser, "browser", bench.Firefox, bench.Firefox+" or "+bench.Chromium)
	flag.StringVar(&o.Codec, "codec", "VP8", "VP8 or H264; Firefox is run without its H264")
	flag.IntVar(&o.Joins, "n", 10, "joins of each binary")
	quiet := flag.Bool("q", false, "the table alone, not each join")
	flag.Parse()
	o.Binaries = flag.Args()
	o.Progress = func(what string) { fmt.Fprintln(os.Stderr, what) }
	if !*quiet {
		o.Each = func(a bench.Arrival) {
			fmt.Printf("binary %d: first picture after %4.0f ms, %d PLIs, %d NACKs, %d lost, load %.1f\n", a.Variant,
				a.First, a.PLIs, a.NACKs, a.Lost, a.Load)
		}
	}
	all, err := bench.MeasureBrowser(ctx, o)
	return errors.Join(err, bench.WriteArrivals(os.Stdout, o, all))
}
