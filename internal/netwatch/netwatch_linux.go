package netwatch

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen opens a netlink socket (rtnetlink(7)). Each message of the kernel about addresses and routes puts a token into
// the channel, unless it holds one already. stop ends that and waits.
func listen() (messages <-chan struct{}, stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, fmt.Errorf("netlink: %w", os.NewSyscallError("socket", err))
	}
	groups := uint32(0)
	for _, g := range []uint32{unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
		unix.RTNLGRP_IPV6_ROUTE} {
		groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("netlink: %w", os.NewSyscallError("bind", err))
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	out := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			// Too many messages for the socket cause an error, which means the same as a message.
			if _, err := socket.Read(buf); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return
			}
			select {
			case out <- struct{}{}:
			default:
			}
		}
	})
	return out, func() { socket.Close(); wg.Wait() }, nil
}

// look lists the addresses of all interfaces that are up, and the default routes.
func look() (string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return "", fmt.Errorf("interfaces: %w", err)
	}
	var out []string
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 {
			continue // gone between two looks
		}
		for _, a := range addrs {
			out = append(out, fmt.Sprint(i.Index, " ", a))
		}
	}
	routes, err := defaults()
	if err != nil {
		return "", err
	}
	out = append(out, routes...)
	slices.Sort(out)
	return strings.Join(out, "\n"), nil
}

// defaults lists the default routes of all tables, each by where it leads: gateway, interface, order.
func defaults() ([]string, error) {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETROUTE, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	var out []string
	for _, m := range messages {
		// Struct rtmsg: family, length of the destination, ...
		if m.Header.Type != unix.RTM_NEWROUTE || len(m.Data) < unix.SizeofRtMsg || m.Data[1] != 0 {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return nil, fmt.Errorf("routes: %w", err)
		}
		route := fmt.Sprintf("default %d", m.Data[0])
		for _, a := range attributes {
			switch a.Attr.Type {
			case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_OIF, unix.RTA_PRIORITY, unix.RTA_MULTIPATH, unix.RTA_TABLE:
				route += fmt.Sprintf(" %d:%x", a.Attr.Type, a.Value)
			}
		}
		out = append(out, route)
	}
	return out, nil
}
