package agent

// crashAt ends or blocks the process at offers of some channels, in a build for tests (crashtest.go); nil in all
// others.
var crashAt func(channel string)
