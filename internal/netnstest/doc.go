// Package netnstest runs a test in a Linux network namespace of its own, where it may add addresses, routes and
// netfilter rules, and where nothing that it sends leaves the machine:
//
//	func TestRoutes(t *testing.T) {
//		if !netnstest.Inside(t, time.Minute) {
//			return // it has been run inside, and that went well
//		}
//		netnstest.IP(t, "addr add 192.0.2.1/24 dev lo")
//		...
//	}
//
// The namespace belongs to a process, so the test's own binary is run once more for that one test. Root needs nothing
// else; everybody else needs a kernel that allows user namespaces.
package netnstest
