package rig

import (
	"time"
)

// Presented reads from the page what it has shown since the first from pictures of live.
func (p *Page) Presented(l *LiveCamera, from int) Film {
	p.T.Helper()
	var rows [][4]float64
	p.Call(&rows, "presented", from)
	f := make(Film, len(rows))
	for i, r := range rows {
		f[i] = Shown{At: wall(r[0]), n: int(r[1]), Width: int(r[2]), Right: r[3] == 1}
		if f[i].n >= 0 {
			f[i].Age = l.age(f[i].n, f[i].At)
		}
	}
	return f
}

// wall is a browser's time, in milliseconds since 1970.
func wall(ms float64) time.Time { return time.UnixMicro(int64(ms * 1000)) }

// Offered is when the page has sent its offer.
func (p *Page) Offered() time.Time {
	p.T.Helper()
	var ms float64
	p.Call(&ms, "offered")
	return wall(ms)
}

// Connected is when the page's connection to a Plain was established; the zero time when it is not yet.
func (p *Page) Connected() time.Time {
	p.T.Helper()
	var ms float64
	if p.Call(&ms, "connected"); ms == 0 {
		return time.Time{}
	}
	return wall(ms)
}

// age is how long before at the camera has made picture n last. Clocks of browsers are a little coarse, so that a
// picture may seem to come from the future.
func (l *LiveCamera) age(n int, at time.Time) time.Duration {
	const future = time.Second
	since := at.Sub(l.Begin) - time.Duration(n)*ReelTick + future
	return (since%ReelLength+ReelLength)%ReelLength - future
}
