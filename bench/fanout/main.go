// Command fanout measures what one camera to many viewers costs:
//
//	go run ./bench/fanout -viewers 1,10,50,100,200 -against naive -runs 5
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/kvsagent/kvsagent/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fanout:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o bench.Options
	viewers := flag.String("viewers", "", "how many, with commas between (default 10; with -limit and -idle none)")
	against := flag.String("against", "", "naive: measure the bare Pion fan-out too, in turn")
	format := flag.String("o", "text", "text or json")
	from := flag.String("from", "", "show a report saved with -o json, and measure nothing")
	plot := flag.String("plot", "", "file for a plot of CPU and latency, SVG")
	flag.IntVar(&o.Runs, "runs", 1, "runs of each")
	flag.DurationVar(&o.Window, "window", 0, "length of a measurement (default 10s)")
	flag.DurationVar(&o.Settle, "settle", 0, "between the last join and the measurement (default 3s)")
	flag.BoolVar(&o.Limit, "limit", false, "find how many viewers one core carries without loss")
	flag.BoolVar(&o.Idle, "idle", false, "measure an agent with one channel and no viewer")
	flag.IntVar(&o.Joins, "joins", 0, "viewers that join one after another and leave again, to measure joining")
	flag.DurationVar(&o.RTT, "rtt", 0, "round trip between viewers and server, such as 50ms")
	flag.Float64Var(&o.Loss, "loss", 0, "share of packets that viewers throw away and ask for again, such as 0.01")
	flag.BoolVar(&o.RTX, "rtx", false, "viewers take what is sent again in a stream of its own")
	flag.BoolVar(&o.TWCC, "twcc", false, "transport-wide congestion feedback")
	flag.BoolVar(&o.Sub, "sub", false,
		"the camera has a smaller stream, to which some viewers go and from which they come back; with -rtx and "+
			"-twcc, for 20s at least")
	flag.DurationVar(&o.PLI, "pli", 0, "each viewer asks for a key frame so often")
	flag.BoolVar(&o.TURN, "turn", false,
		"let the agent use the TURN servers of the service, and gather relay candidates")
	flag.BoolVar(&o.Status, "status", false, "the agent's status page is on")
	flag.StringVar(&o.Binary, "binary", "", "kvsagent to measure (default: built from the tree)")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("argument %q; hint: -help", flag.Arg(0))
	}
	var err error
	if o.Viewers, err = numbers(*viewers); err != nil {
		return err
	}
	switch *against {
	case "":
	case bench.Naive:
		o.Against = true
	default:
		return fmt.Errorf("against %q; hint: %s", *against, bench.Naive)
	}
	if *format != "text" && *format != "json" {
		return fmt.Errorf("output %q; hint: text or json", *format)
	}
	if *from != "" {
		r, err := saved(*from)
		if err != nil {
			return err
		}
		return show(r, *format, *plot)
	}
	o.Progress = func(what string) { fmt.Fprintln(os.Stderr, what) }
	r, err := bench.Measure(ctx, o)
	if r != nil {
		err = errors.Join(err, r.Err(), show(r, *format, *plot))
	}
	return err
}

func saved(path string) (*bench.Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &bench.Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func show(r *bench.Report, format, plot string) error {
	var err error
	if plot != "" {
		err = os.WriteFile(plot, r.Plot(), 0o644)
	}
	if format == "json" {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", " ")
		return errors.Join(err, e.Encode(r))
	}
	return errors.Join(err, r.WriteTable(os.Stdout))
}

func numbers(list string) (ns []int, err error) {
	if list == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("viewers %q; hint: numbers with commas between, such as 1,10,100", list)
		}
		ns = append(ns, n)
	}
	return ns, nil
}
