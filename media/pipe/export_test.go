package pipe

// Late is late, which says whether another start of this process would open a device.
func Late(err error, then, now bool) error { return late(err, then, now) }
