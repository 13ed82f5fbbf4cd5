package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Service is the name of the SRV record (RFC 2782) that names the server of a
// network. It may stand where an address stands, with or without a domain behind it.
const Service = "_rollcall._tcp"

const (
	srvTimeout = 10 * time.Second // of all look-ups of one exchange together
	maxTargets = 8                // addresses that are taken from the answers
	maxDomains = 6                // as resolv.conf(5) has at most
)

// resolve gives the addresses to try: those that are known, and for the name of a
// service those that the network's name servers give. Whoever answers for the name
// servers can lead an agent nowhere but away: at each address the pinned key is asked
// for before anything is said.
func (c *Client) resolve(ctx context.Context) ([]string, error) {
	var all []string
	var problems []error
	for _, a := range c.Addresses {
		domain, ok := strings.CutPrefix(a, Service)
		if !ok || domain != "" && domain[0] != '.' {
			all = append(all, a)
			continue
		}
		found, err := c.lookUp(ctx, strings.Trim(domain, "."))
		all, problems = append(all, found...), append(problems, err)
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, errors.Join(problems...)
}

// lookUp asks for the record of one domain, or of each of the machine's own until one
// has it. They come in the order in which they are to be tried.
func (c *Client) lookUp(ctx context.Context, domain string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, srvTimeout)
	defer cancel()
	domains := []string{domain}
	if domain == "" {
		if domains = nil; c.Domains != nil {
			domains = c.Domains()
		}
		if len(domains) == 0 {
			return nil, fmt.Errorf("%s: %w: this machine knows no domain to look for it in", Service, ErrAway)
		}
	}
	look := c.LookupSRV
	if look == nil {
		look = func(ctx context.Context, name string) ([]*net.SRV, error) {
			_, records, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
			return records, err
		}
	}
	var problems []error
	for _, d := range domains[:min(len(domains), maxDomains)] {
		name := Service + "." + strings.Trim(d, ".") + "."
		records, err := look(ctx, name)
		if targets := targetsOf(records); len(targets) > 0 {
			return targets, nil // also where others of the answers were none
		}
		if err == nil {
			err = fmt.Errorf("%s: the record names no server", name)
		}
		problems = append(problems, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrAway, errors.Join(problems...))
}

// targetsOf turns records into addresses. What cannot be a host's name is left out;
// "." says that there is no such service.
func targetsOf(records []*net.SRV) (targets []string) {
	for _, r := range records {
		host := strings.TrimSuffix(r.Target, ".")
		if host == "" || len(host) > 253 || r.Port == 0 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != "" {
			continue
		}
		if targets = append(targets, net.JoinHostPort(host, strconv.Itoa(int(r.Port)))); len(targets) == maxTargets {
			break
		}
	}
	return targets
}
