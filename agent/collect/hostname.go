package collect

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
)

func hostname() Collector {
	return Collector{Name: "hostname", Owns: []string{"id/hostname", "id/domain"}, Collect: collectHostname}
}

// collectHostname asks files only. A look-up in DNS or LDAP could wait forever,
// and says what others call the machine.
func collectHostname(_ context.Context, h Host, s *Sink) error {
	name := kernelName(h, s, "hostname")
	if name == "" || name == "localhost" {
		if static := h.Line(s, "etc/hostname"); static != "" {
			name = static
		}
	}
	short, domain, _ := strings.Cut(name, ".")
	if domain == "" {
		domain = kernelName(h, s, "domainname")
	}
	if domain == "" {
		domain = hostsDomain(h, short)
	}
	if domain == "" {
		conf, err := readResolv(h)
		if err != nil && !errors.Is(err, fs.ErrPermission) && !Absent(err) {
			return err
		}
		if len(conf.search) > 0 {
			domain = conf.search[0]
		}
	}
	s.Fact("id/hostname", short)
	s.Fact("id/domain", strings.Trim(domain, "."))
	if short == "" {
		return fs.ErrNotExist
	}
	return nil
}

// Domains gives the domains that the machine belongs to, its own first, then those
// that resolv.conf(5) searches. What cannot be read gives none.
func Domains(h Host) []string {
	var all []string
	add := func(d string) {
		if d = strings.Trim(d, "."); d != "" && d != "localdomain" && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	s := &Sink{}
	short, domain, _ := strings.Cut(kernelName(h, s, "hostname"), ".")
	add(domain)
	add(kernelName(h, s, "domainname"))
	add(hostsDomain(h, short))
	conf, err := readResolv(h)
	if err == nil {
		for _, d := range conf.search {
			add(d)
		}
	}
	return all
}

func kernelName(h Host, s *Sink, what string) string {
	name := h.Line(s, "proc/sys/kernel/"+what)
	if name == "(none)" {
		return ""
	}
	return name
}

// hostsDomain finds the domain in hosts(5), where Debian's installer puts it:
// "127.0.1.1 ws01.example.org ws01".
func hostsDomain(h Host, short string) string {
	var domain string
	// A broken hosts file only means that the domain is sought elsewhere.
	_ = h.Lines("etc/hosts", func(line string) bool {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		for _, w := range words[min(1, len(words)):] {
			if host, d, ok := strings.Cut(w, "."); ok && strings.EqualFold(host, short) && host != "localhost" {
				domain = d
				return false
			}
		}
		return true
	})
	return domain
}

// resolvConf is what resolv.conf(5) says.
type resolvConf struct {
	servers []string
	search  []string
	options []string
}

func readResolv(h Host) (resolvConf, error) {
	var c resolvConf
	err := h.Lines("etc/resolv.conf", func(line string) bool {
		words := strings.Fields(line)
		if len(words) < 2 {
			return true
		}
		switch words[0] {
		case "nameserver":
			c.servers = append(c.servers, words[1])
		case "search", "domain": // the last one counts
			c.search = words[1:]
		case "options":
			c.options = append(c.options, words[1:]...)
		}
		return len(c.servers) < 16
	})
	return c, err
}
