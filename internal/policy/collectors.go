package policy

// Collectors are the names of all collectors that agents have, and of the scanner of
// /etc. A test of the agent compares it with them.
var Collectors = []string{
	"accounts", "antivirus", "apparmor", "apt", "backup", "battery", "boot", "certificates", "clients", "cpu", "crontabs",
	"dhcp", "disk", "dmi", "dpkg", "edu", "etc", "filesystems", "firewall", "firmware", "flatpak", "gpu",
	"guests", "history", "hostname", "kernel", "languages", "load", "local", "machine-id", "memory",
	"memory-errors", "monitor", "network", "os", "pci", "ports", "printers", "raid", "reboot", "sensors",
	"sessions", "settings", "smart", "smbios", "snap", "ssh", "timesync", "units", "upgrades", "usb", "verify",
	"virtual", "volume", "volume-groups",
}
