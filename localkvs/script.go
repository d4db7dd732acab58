package localkvs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Step is one step of a fault script.
type Step struct {
	After time.Duration // waited before the step
	Set   *Faults       // the faults from now on; nil leaves them as they are
	Do    []Action
}

// ReadScript reads a file of steps, such as
//
//	[
//	  {"after": "5s", "do": [{"do": "go_away"}]},
//	  {"after": "1m", "set": {"calls": {"status": 503}, "delay": "2s"}},
//	  {"after": "30s", "set": {}}
//	]
func ReadScript(file string) ([]Step, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("fault script: %w", err)
	}
	var steps []Step
	if err := strictly(text, &steps); err != nil {
		return nil, fmt.Errorf("fault script: %s: %w", file, err)
	}
	for i, st := range steps {
		if err := st.check(); err != nil {
			return nil, fmt.Errorf("fault script: %s: step %d: %w", file, i+1, err)
		}
	}
	return steps, nil
}

// Play runs the steps of a script, one after another, until they or ctx are done.
func (s *Server) Play(ctx context.Context, steps []Step) error {
	for i, st := range steps {
		wait := time.NewTimer(max(0, st.After))
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
		if _, err := s.step(st); err != nil {
			return fmt.Errorf("fault script: step %d: %w", i+1, err)
		}
	}
	return nil
}

// step runs one step, completely or not at all, and returns how many connections each action reached.
func (s *Server) step(st Step) ([]int, error) {
	if err := st.check(); err != nil {
		return nil, err
	}
	if st.Set != nil {
		s.SetFaults(*st.Set)
	}
	met := make([]int, len(st.Do))
	var err error
	for i, a := range st.Do {
		if met[i], err = s.Act(a); err != nil {
			return nil, err
		}
	}
	return met, nil
}

func (st Step) check() error {
	for _, a := range st.Do {
		if _, err := a.effect(); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalJSON decodes a step and refuses unknown keys.
func (st *Step) UnmarshalJSON(b []byte) error {
	var in struct {
		After textDuration `json:"after"`
		Set   *Faults      `json:"set"`
		Do    []Action     `json:"do"`
	}
	if err := strictly(b, &in); err != nil {
		return err
	}
	*st = Step{After: time.Duration(in.After), Set: in.Set, Do: in.Do}
	return nil
}

// plainFaults is Faults without its methods; jsonFaults reads and writes durations as text.
type plainFaults Faults

type jsonFaults struct {
	*plainFaults
	ClockOffset textDuration `json:"clock_offset,omitzero"`
	Delay       textDuration `json:"delay,omitzero"`
}

// MarshalJSON writes only the faults that are set.
func (f Faults) MarshalJSON() ([]byte, error) {
	p := plainFaults(f)
	return json.Marshal(jsonFaults{&p, textDuration(f.ClockOffset), textDuration(f.Delay)})
}

// UnmarshalJSON decodes faults and refuses unknown keys.
func (f *Faults) UnmarshalJSON(b []byte) error {
	var p plainFaults
	in := jsonFaults{plainFaults: &p}
	if err := strictly(b, &in); err != nil {
		return err
	}
	*f = Faults(p)
	f.ClockOffset, f.Delay = time.Duration(in.ClockOffset), time.Duration(in.Delay)
	return nil
}

// textDuration is a duration written as "1m30s".
type textDuration time.Duration

func (d textDuration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *textDuration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = textDuration(v)
	return err
}

// strictly decodes one JSON value and refuses keys that v does not have.
func strictly(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}
