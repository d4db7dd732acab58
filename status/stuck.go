package status

// Stuck is a loop of the agent that does not go on.
type Stuck struct {
	Loop    string  `json:"loop"` // such as "channel gate"
	Seconds float64 `json:"seconds"`
	Fatal   bool    `json:"fatal"` // the service manager starts the process again for it
}
