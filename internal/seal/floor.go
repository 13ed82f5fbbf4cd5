package seal

import (
	"path"
	"strings"
)

// Secret tells whether the file at name, a path relative to /etc with slashes,
// is secret whatever it holds: password hashes, private keys, keytabs,
// passwords of LDAP, wifi, mail, databases and print queues, as Debian and
// Debian Edu keep them. The list is a floor: a policy may add to it and never
// take from it. Upper and lower case count the same. Copies that editors, dpkg
// and ucf leave beside a file ("nslcd.conf~", "shadow-", "sssd.conf.dpkg-old",
// ".printers.conf.swp") are as secret as the file itself. A leading "/etc/" is
// ignored, as the one mistake that must not make a secret public.
//
// A symbolic link is judged by its own name; its target is a path, no content.
func Secret(name string) bool {
	name = path.Clean("/" + strings.ToLower(name))
	name = strings.TrimPrefix(strings.TrimPrefix(name, "/etc/"), "/")
	for {
		if listed(name) {
			return true
		}
		original, ok := original(name)
		if !ok {
			return false
		}
		name = original
	}
}

func listed(name string) bool {
	for _, pattern := range secretPaths {
		if name == "" || pattern[0] != name[0] { // no pattern begins with a wildcard
			continue
		}
		if ok, _ := path.Match(pattern, name); ok { // the patterns are tested
			return true
		}
	}
	dir, base := path.Split(name)
	for _, pattern := range secretNames {
		if matches(pattern, base) {
			return true
		}
	}
	for _, folder := range secretFolders {
		if strings.HasPrefix(dir, folder+"/") || strings.Contains(dir, "/"+folder+"/") {
			return true
		}
	}
	return false
}

// matches is [path.Match] for patterns without other wildcards than "*". It
// takes a tenth of the time, and every file of /etc passes all of the patterns.
func matches(pattern, name string) bool {
	before, after, star := strings.Cut(pattern, "*")
	rest, ok := strings.CutPrefix(name, before)
	switch {
	case !ok || !star:
		return ok && rest == ""
	case !strings.Contains(after, "*"):
		return strings.HasSuffix(rest, after)
	}
	for i := range len(rest) + 1 {
		if matches(after, rest[i:]) {
			return true
		}
	}
	return false
}

// original returns the path whose copy name is by its suffix.
func original(name string) (string, bool) {
	dir, base := path.Split(name)
	if inner, ok := strings.CutPrefix(base, "."); ok && path.Ext(inner) != inner && strings.HasPrefix(path.Ext(inner), ".sw") {
		return dir + strings.TrimSuffix(inner, path.Ext(inner)), true
	}
	if strings.HasPrefix(base, "#") && strings.HasSuffix(base, "#") && len(base) > 2 {
		return dir + strings.Trim(base, "#"), true
	}
	for _, suffix := range []string{
		"~", "-", ".bak", ".old", ".orig", ".save", ".saved", ".backup", ".org", ".new", ".tmp", ".o", ".lock", ".disabled", ".off",
		".dpkg-old", ".dpkg-dist", ".dpkg-new", ".dpkg-tmp", ".dpkg-bak", ".dpkg-backup", ".dpkg-remove",
		".ucf-old", ".ucf-dist", ".ucf-new", ".rpmsave", ".rpmnew", ".rej",
	} {
		if rest := strings.TrimSuffix(base, suffix); rest != base && rest != "" {
			return dir + rest, true
		}
	}
	// shadow.1, sssd.conf.20240131
	if rest := strings.TrimRight(base, "0123456789"); len(rest) > 1 && rest != base && strings.HasSuffix(rest, ".") {
		return dir + strings.TrimSuffix(rest, "."), true
	}
	return "", false
}

// secretPaths are patterns of [path.Match] for whole paths below /etc.
var secretPaths = []string{
	// Local accounts: shadow(5), gshadow(5), pam_unix's old passwords.
	"shadow", "gshadow", "shadow.*", "gshadow.*", "security/opasswd", "security/opasswd.*",
	// SSH: sshd_config(5) HostKey.
	"ssh/ssh_host_*_key", "ssh/*_key", "dropbear/dropbear_*_host_key",
	// Kerberos: the stash of the master key and the administrator's keytab.
	"krb5kdc/stash", "krb5kdc/.k5*", "heimdal-kdc/m-key",
	// LDAP clients and the servers' own credentials.
	"ldap.secret", "libnss-ldap.secret", "pam_ldap.secret", "pam_ldap.conf", "libnss-ldap.conf", "nslcd.conf",
	"sudo-ldap.conf", "ldapscripts/ldapscripts.passwd", "smbldap-tools/smbldap_bind.conf",
	"sssd/sssd.conf", "sssd/conf.d/*", "gosa/gosa.conf", "fusiondirectory/fusiondirectory.conf",
	"ldap/slapd.d/*/olcdatabase=*", "ldap/slapd.d/*/*/olcoverlay=*", "ldap/rootdse*.ldif", "ldap/slapd*.conf",
	// LTSP: PASSWORDS_x and other credentials of ltsp.conf(5).
	"ltsp/ltsp.conf", "ltsp/ltsp.d/*", "ltsp/*.conf", "lts.conf",
	// Networks: wifi, VPN, PPP, 802.1X.
	"networkmanager/system-connections/*", "wpa_supplicant/*.conf", "wpa_supplicant.conf", "hostapd/hostapd.conf",
	"hostapd/*psk*", "hostapd/*eap_user*", "wireguard/*.conf",
	"ppp/*secrets", "ppp/peers/*", "chatscripts/*", "ipsec.secrets", "ipsec.d/*.secrets", "swanctl/swanctl.conf", "swanctl/conf.d/*.conf",
	"xl2tpd/l2tp-secrets", "openvpn/*.ovpn", "openvpn/*auth*", "openvpn/*/*auth*", "tinc/*/*.priv",
	"racoon/psk.txt", "vpnc/*.conf",
	// Package sources behind a password: apt_auth.conf(5).
	"apt/auth.conf", "apt/auth.conf.d/*",
	// Printing: device URIs hold smb and ipp passwords.
	"cups/printers.conf", "cups/passwd.md5", "cups/cups-pdf*.secret", "samba/*.tdb", "samba/smbpasswd", "samba/*cred*", "samba/*passwd*",
	// Mail.
	"exim4/passwd*", "postfix/sasl_passwd*", "postfix/*_passwd*", "postfix/*password*", "sasldb2", "dovecot/users", "dovecot/passwd*",
	"dovecot/*-ldap.conf.ext", "dovecot/*-sql.conf.ext", "dovecot/conf.d/*-ldap.conf.ext", "nullmailer/remotes",
	"ssmtp/ssmtp.conf", "msmtprc", "esmtprc", "fetchmailrc", "getmail/*", "courier/*passwd*", "courier/auth*rc",
	// Databases and the programs that log in to them.
	"mysql/debian.cnf", "mysql/conf.d/*password*", "dbconfig-common/*.conf", "dbconfig-common/config", "phpmyadmin/config-db.php",
	"icingaweb2/resources.ini", "icinga2/features-*/ido-*.conf", "nagios*/resource.cfg", "icinga/resource.cfg",
	"bacula/*passwords*", "bacula/*.conf", "bacula/*/*.conf", "bareos/*/*/*.conf", "backuppc/htpasswd",
	"wordpress/config-*.php", "moodle/config.php", "nextcloud/config.php", "roundcube/config.inc.php", "roundcube/debian-db.php",
	// Name service keys: rndc(8), TSIG, DDNS.
	"bind/rndc.key", "bind/named.conf.keys", "bind/k*.private", "dhcp/ddns-keys/*", "dhcp/rndc.key", "rndc.key", "rndc.conf", "powerdns/pdns.d/*", "powerdns/pdns.conf",
	// RADIUS, SNMP, proxies and web servers.
	"freeradius/*/clients.conf", "freeradius/*/users", "freeradius/*/mods-config/files/authorize", "freeradius/*/proxy.conf",
	"freeradius/*/certs/*", "freeradius/*/mods-available/ldap", "freeradius/*/mods-available/sql", "radcli/servers", "radiusclient/servers", "pam_radius_auth.conf",
	"snmp/snmpd.conf", "snmp/snmpd.conf.d/*", "snmp/snmptrapd.conf", "squid/passwd*", "squid/*passwd*", "cntlm.conf",
	"letsencrypt/archive/*/privkey*", "letsencrypt/live/*/privkey*", "letsencrypt/keys/*", "letsencrypt/accounts/*/*/*/private_key.json",
	"mosquitto/passwd*", "vsftpd/*login*", "proftpd/*passwd*", "davfs2/secrets", "tacacs*/*",
	// Disks and clusters.
	"crypttab.key", "keys/*", "luks-keys/*", "luks/*", "cryptsetup-keys.d/*", "corosync/authkey", "ceph/*.keyring", "munge/munge.key", "drbd.d/*",
	"iscsi/iscsid.conf", "iscsi/nodes/*/*/*", "tgt/conf.d/*", "nut/upsd.users", "nut/upsmon.conf", "ntp.keys", "ntpsec/ntp.keys", "chrony/chrony.keys", "multipath/*secret*", "ha.d/authkeys", "pacemaker/authkey",
	// Boot loader, remote desktops, containers, remote management.
	"grub.d/*password*", "x11vnc.pass", "vnc/*pass*", "tigervnc/*pass*", "xrdp/rsakeys.ini", "kubernetes/*.conf", "kubernetes/*.kubeconfig",
	"rancher/*/*.yaml", "docker/config.json", "containers/auth.json", "ipmi*/*pass*", "conserver/conserver.passwd",
	// Rollcall's own.
	"rollcall/*token*", "rollcall/*identity*",
}

// secretNames are patterns of matches for the last part of a path.
var secretNames = []string{
	"*.key", "*.keytab", "*.keytab.*", "*.priv", "*.private", "*.p12", "*.pfx", "*.jks", "*.jceks", "*.keystore", "*.kdbx", "*.ppk",
	"*.psk", "*.secret", "*.secrets", "*-secrets", "*_secrets", "secrets", "secret", "*.kwallet", "*.keyring.priv", "secring.*",
	"*.pass", "*.passwd", "*.passwords", "*_password", "*password.txt", "htpasswd", "*.htpasswd", ".htpasswd*", "*.htdigest", ".htdigest*",
	"id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "*_rsa", "*_ed25519", "privkey*.pem", "*privatekey*", "*private_key*", "*private-key*",
	".netrc", "netrc", "_netrc", ".pgpass", "pgpass", ".my.cnf", ".mylogin.cnf", ".git-credentials", ".dockercfg",
	"*.smbcredentials", ".smbcredentials*", "smbcredentials*", "*credentials", ".credentials*", "cifs*.cred", "*.cred", "*.creds",
	"authinfo", ".authinfo*", "krb5cc_*", "*.vault_pass*", ".vault_pass*", "*tsig*", "*.ovpn",
}

// secretFolders are folder names, or ends of folder paths, below which all is
// secret.
var secretFolders = []string{
	"private", "private_keys", "private-keys", "private-keys-v1.d", "secrets", "credstore", "credstore.encrypted", ".gnupg", ".ssh",
	".git", // etckeeper's repository holds every secret once more
}
