package auth

import (
	"fmt"
	"net"
)

// HostOf gives what counts as one sender: the address with or without a port as it
// stands, and of an IPv6 address the /64, which one machine can fill alone (RFC 6177).
func HostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(host)
	if ip == nil || ip.To4() != nil {
		return host
	}
	return fmt.Sprintf("%s/64", ip.Mask(net.CIDRMask(64, 128)))
}
