package restore

import (
	"path"
	"strings"
)

// own is the table of files that describe an installation or its hardware and
// not what somebody configured. Restoring them onto new disks or over newly
// made accounts breaks the machine; so they wait to be asked for.
func own() map[string]string {
	const (
		disks    = "names the disks of this installation"
		accounts = "holds the accounts of this installation; merge by hand, or name it"
		made     = "is made by this installation"
	)
	return map[string]string{
		"machine-id":                         "names this installation (machine-id(5))",
		"fstab":                              disks,
		"crypttab":                           disks,
		"mtab":                               disks,
		"mdadm/mdadm.conf":                   disks,
		"initramfs-tools/conf.d/resume":      disks,
		"default/grub.d/*":                   "belongs to the boot loader of this installation",
		"lvm/backup/*":                       disks,
		"lvm/archive/*":                      disks,
		"multipath/wwids":                    disks,
		"multipath/bindings":                 disks,
		"nvme/hostid":                        "names this machine",
		"nvme/hostnqn":                       "names this machine",
		"iscsi/initiatorname.iscsi":          "names this machine",
		"passwd":                             accounts,
		"passwd-":                            accounts,
		"shadow":                             accounts,
		"shadow-":                            accounts,
		"group":                              accounts,
		"group-":                             accounts,
		"gshadow":                            accounts,
		"gshadow-":                           accounts,
		"subuid":                             accounts,
		"subuid-":                            accounts,
		"subgid":                             accounts,
		"subgid-":                            accounts,
		".pwd.lock":                          accounts,
		"udev/rules.d/70-persistent-*.rules": "names the hardware of this machine",
		"ld.so.cache":                        made,
		"alternatives/*":                     "follows the installed packages (update-alternatives(1))",
		"ssl/certs/*":                        "follows the installed certificates (update-ca-certificates(8))",
		"console-setup/cached_*":             made,
	}
}

// ownReason tells why a path is this machine's own; empty if it is not.
func ownReason(table map[string]string, factPath string) string {
	rel := strings.TrimPrefix(factPath, "etc/")
	for pattern, why := range table {
		if ok, err := path.Match(pattern, rel); ok && err == nil {
			return why
		}
	}
	return ""
}
