package collect

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"rollcall/internal/seal"
)

// Bounds of what is read for settings.
const (
	maxSettingFile = 256 << 10 // bytes
	maxConnections = 200
	maxSettings    = 2000 // of one file
)

// openFile is a file that is sealed, or not kept, as a whole because secrets or
// states may stand in it, of which some settings are harmless and worth knowing.
type openFile struct {
	name string // below the root; a folder stands for all of its files
	// open tells of a setting in its section, both in lower case, that it may be
	// told. What is not named here stays sealed: a new option is a secret until
	// somebody has looked.
	open func(section, key string) bool
}

// openFiles lists them. Values are looked at all the same (seal.Sniff): one that
// looks like a secret is left out.
func openFiles() []openFile {
	return []openFile{
		{"etc/nslcd.conf", func(_, key string) bool { return slices.Contains(nslcdKeys, key) }},
		{"etc/NetworkManager/system-connections", func(section, key string) bool {
			return slices.Contains(connectionSections, section) && key != "uuid" && key != "timestamp"
		}},
		{"etc/cups/printers.conf", func(section, key string) bool { return section != "" && slices.Contains(printerKeys, key) }},
	}
}

// nslcdKeys are options of nslcd.conf(5) that hold no secret; bindpw, rootpwmodpw
// and the names that go with them are not among them.
var nslcdKeys = strings.Fields(`uri base ldap_version scope filter map deref referrals ssl tls_reqcert tls_cacertfile tls_cacertdir
	tls_crlcheck tls_crlfile tls_ciphers timelimit bind_timelimit idle_timelimit reconnect_sleeptime reconnect_retrytime pagesize
	uid gid threads log cache validnames ignorecase nss_initgroups_ignoreusers nss_min_uid nss_max_uid nss_uid_offset
	nss_gid_offset nss_nested_groups nss_getgrent_skipmembers nss_disable_enumeration pam_authc_ppolicy pam_authz_search`)

// connectionSections are those of nm-settings-keyfile(5) without any secret.
// Wireless security, 802.1x, VPN, WireGuard, PPPoE and modems are not among them.
var connectionSections = strings.Fields("connection ethernet 802-3-ethernet wifi 802-11-wireless ipv4 ipv6 bridge bridge-port vlan bond team match ethtool link")

// printerKeys are options that somebody set; states, times and identifiers, which
// cupsd writes as it works, are not among them.
var printerKeys = strings.Fields(`info location makemodel deviceuri type shared accepting errorpolicy oppolicy jobsheets option
	allowuser denyuser quotaperiod pagelimit klimit portmonitor authinforequired`)

func settings() Collector {
	return Collector{Name: "settings", Owns: []string{"setting/"}, Collect: collectSettings}
}

// collectSettings tells the harmless settings of files whose content nobody gets
// to see: the path is setting/FILE/SECTION.KEY, with the file's path as one
// component, and a key that stands there twice has both values.
func collectSettings(_ context.Context, h Host, s *Sink) error {
	for _, f := range openFiles() {
		names := []string{f.name}
		entries, err := h.Names(f.name)
		if err == nil {
			names = names[:0]
			for _, e := range entries[:min(len(entries), maxConnections)] {
				names = append(names, f.name+"/"+e)
			}
		}
		for _, name := range names {
			content, err := h.ReadFile(name, maxSettingFile)
			switch {
			case err == nil:
				tellSettings(s, name, f.open, content)
			case errors.Is(err, fs.ErrPermission):
				s.Denied(name)
			case Absent(err):
			default:
				return err
			}
		}
	}
	return nil
}

func tellSettings(s *Sink, name string, open func(section, key string) bool, content []byte) {
	var order []string
	values := map[string][]string{}
	for _, t := range parseSettings(content) {
		if !open(strings.ToLower(t.section), strings.ToLower(t.key)) || strings.Contains(t.value, "@") && strings.Contains(t.value, "://") || seal.Sniff([]byte(t.key+" = "+t.value+"\n")) {
			continue
		}
		key := t.key
		if t.section != "" {
			key = t.section + "." + t.key
		}
		if values[key] == nil {
			order = append(order, key)
		}
		values[key] = append(values[key], t.value)
	}
	for _, key := range order[:min(len(order), maxSettings)] {
		s.Fact(Path("setting", name, key), strings.Join(values[key], ", "))
	}
}

// setting is one line of a configuration file.
type setting struct{ section, key, value string }

// parseSettings reads "key = value" and "Key value" lines in [sections] and
// <Blocks name>; a block named Default… is also the default of its kind.
func parseSettings(content []byte) []setting {
	var out []setting
	section := ""
	for line := range bytes.Lines(content) {
		text := strings.TrimSpace(string(line))
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case text[0] == '[' && text[len(text)-1] == ']':
			section = text[1 : len(text)-1]
		case strings.HasPrefix(text, "</"):
			section = ""
		case text[0] == '<' && text[len(text)-1] == '>':
			_, section, _ = strings.Cut(text[1:len(text)-1], " ")
		default:
			i := strings.IndexAny(text, "= \t")
			if i <= 0 {
				continue
			}
			value := strings.TrimSpace(text[i:])
			value = strings.TrimSpace(strings.TrimPrefix(value, "="))
			out = append(out, setting{section, text[:i], value})
		}
	}
	return out
}
