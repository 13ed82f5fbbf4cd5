package compare

import (
	"path"
	"slices"
	"strings"
)

// syntax is how a file is written.
type syntax struct {
	read    func(w *writer, content string) bool // false: it is not written so
	ordered bool                                 // the first or the last of several lines wins
	repeats bool                                 // a line that comes twice is not the same as once
}

// formats tell by the path how a file is written; the first that fits holds. A
// pattern that ends in "/" is a folder with all below it, "*.x" any name with this
// end, everything else the beginning of a path.
var formats = []struct {
	paths []string
	syntax
}{
	{[]string{"etc/fstab", "etc/mtab", "etc/crypttab"}, syntax{read: readFstab}},
	{[]string{"etc/exports"}, syntax{read: readExports}},
	{[]string{"etc/ssh/ssh"}, syntax{read: readSSH, ordered: true}},
	{[]string{"etc/ldap/ldap.conf"}, syntax{read: readSSH}},
	{[]string{"etc/apache2/"}, syntax{read: readApache, ordered: true}},
	{[]string{"etc/cups/"}, syntax{read: readApache}},
	{[]string{"etc/apt/apt.conf"}, syntax{read: readAptConf}},
	{[]string{"etc/dhcp/dhc", "etc/bind/named", "etc/named", "etc/nginx/"}, syntax{read: readBraces}},
	{[]string{"*.sources", "etc/apt/preferences"}, syntax{read: readStanzas}},
	{[]string{"*.ldif"}, syntax{read: readLDIF}},
	{[]string{"etc/sudoers"}, syntax{read: readSudoers, ordered: true}},
	{[]string{"etc/crontab", "etc/cron.d/", "etc/anacrontab"}, syntax{read: readCron}},
	{[]string{"*.json", "*.jsonc"}, syntax{read: readJSON}},
	{[]string{"*.yaml", "*.yml", "etc/netplan/", "etc/salt/"}, syntax{read: readYAML}},
	{[]string{"*.xml", "*.xcd", "etc/fonts/conf"}, syntax{read: readXML, ordered: true}},
	{[]string{"etc/samba/"}, syntax{read: readSamba}},
	{[]string{"etc/pam.d/", "etc/security/", "etc/hosts.allow", "etc/hosts.deny", "etc/nftables", "etc/iptables", "etc/resolv.conf", "etc/squid", "etc/udev/rules.d/", "etc/pf"}, syntax{read: readLines, ordered: true}},
}

// formatOf returns the number of the format that the path of a file tells, -1 if
// it tells none.
func formatOf(name string) int {
	for i, f := range formats {
		if slices.ContainsFunc(f.paths, func(p string) bool { return fits(p, name) }) {
			return i
		}
	}
	return -1
}

// syntaxOf chooses how a file of a format is read, or else its content does.
func syntaxOf(format int, content string) syntax {
	if format >= 0 {
		return formats[format].syntax
	}
	start := strings.TrimLeft(content[:min(len(content), 4096)], " \t\r\n\ufeff")
	switch {
	case strings.HasPrefix(start, "<?xml"), strings.HasPrefix(start, "<!DOCTYPE"):
		return syntax{read: readXML, ordered: true}
	case strings.HasPrefix(content, "#!"):
		return syntax{read: readScript, ordered: true, repeats: true}
	case isINI(content):
		return syntax{read: readINI}
	}
	return syntax{read: readLines, repeats: true} // what it means to come twice is not known
}

func fits(pattern, name string) bool {
	if end, ok := strings.CutPrefix(pattern, "*"); ok {
		return path.Ext(name) == end
	}
	return strings.HasPrefix(name, pattern)
}
