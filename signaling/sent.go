package signaling

import "sync"

// sentLog keeps the last messages sent, by correlation ID, so that a refusal can be linked to its message.
type sentLog struct {
	mu   sync.Mutex
	byID map[string]Message // guarded by mu
	ids  [256]string        // guarded by mu; a ring
	at   int                // guarded by mu
}

func (l *sentLog) add(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = make(map[string]Message)
	}
	delete(l.byID, l.ids[l.at])
	l.ids[l.at] = m.CorrelationID
	l.byID[m.CorrelationID] = m
	l.at = (l.at + 1) % len(l.ids)
}

// take finds and removes a message.
func (l *sentLog) take(id string) (Message, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.byID[id]
	delete(l.byID, id)
	return m, ok
}
