package seal

import (
	"path"
	"strings"
	"testing"
	"time"
)

func TestSecretPaths(t *testing.T) {
	for _, name := range []string{
		"shadow", "shadow-", "shadow~", "shadow.org", "gshadow", "gshadow-", "shadow.1", "security/opasswd",
		"ssh/ssh_host_rsa_key", "ssh/ssh_host_ed25519_key.dpkg-old", "ssl/private/ssl-cert-snakeoil.key", "ssl/private/tjener.pem", "apache2/ssl/tjener.key",
		"krb5.keytab", "krb5kdc/kadm5.keytab", "krb5kdc/stash", "krb5kdc/.k5.INTERN", "NetworkManager/system-connections/Skolenett.nmconnection",
		"wpa_supplicant/wpa_supplicant.conf", "apt/auth.conf", "apt/auth.conf.d/90private.conf", "ldap.secret", "libnss-ldap.secret", "pam_ldap.secret",
		"nslcd.conf", "nslcd.conf~", ".nslcd.conf.swp", "#nslcd.conf#", "sssd/sssd.conf", "sssd/sssd.conf.bak", "sssd/conf.d/debian-edu.conf",
		"cups/printers.conf", "cups/printers.conf.O", "ltsp/ltsp.conf", "samba/secrets.tdb", "ppp/chap-secrets", "exim4/passwd.client",
		"postfix/sasl_passwd", "postfix/sasl_passwd.db", "mysql/debian.cnf", "ldap/slapd.d/cn=config/olcDatabase={1}mdb.ldif",
		"bind/rndc.key", "dhcp/ddns-keys/edu.key", "gosa/gosa.conf", "gosa/gosa.secrets", "debian-edu/htpasswd", "wireguard/wg0.conf",
		"letsencrypt/archive/tjener/privkey1.pem", "letsencrypt/keys/0000_key-certbot.pem", "ipsec.secrets", "freeradius/3.0/clients.conf",
		".git/objects/ab/cdef", "foo/.git/config", "opendkim/keys/mail.private", "openvpn/server/ta.key", "openvpn/home.ovpn", "a/b/c/deep.KEY",
		"/etc/shadow", "./shadow", "x/../shadow", "ETC/../shadow", "sssd.conf.d/../sssd/sssd.conf.20240131", "root/.ssh/authorized_keys",
		"nut/upsmon.conf", "chrony/chrony.keys", "rollcall/enrol.token", "netrc", "samba/credentials", "borg/repo.pass",
	} {
		if !Secret(name) {
			t.Errorf("Secret(%q) = false", name)
		}
	}
	for _, name := range []string{
		"", "/", ".", "..", "passwd", "passwd-", "group", "hosts", "fstab", "crypttab", "ssh/sshd_config", "ssh/ssh_host_rsa_key.pub", "ssl/certs/ca-certificates.crt",
		"ssl/openssl.cnf", "krb5.conf", "ldap/ldap.conf", "cups/cupsd.conf", "cups/ppd/laser.ppd", "samba/smb.conf", "apt/sources.list", "apt/apt.conf.d/20auto-upgrades",
		"apt/trusted.gpg.d/debian.gpg", "apt/keyrings/school.asc", "pam.d/common-password", "pam.d/passwd", "login.defs", "security/pwquality.conf",
		"NetworkManager/NetworkManager.conf", "network/interfaces", "dnsmasq.d/ltsp-dnsmasq.conf", "default/keyboard", "console-setup/cached_setup_keyboard.sh",
		"X11/xkb/keycodes", "exports", "keyutils.conf", "request-key.conf", "ldap/schema/core.schema", "logrotate.d/private-news", "dovecot/dovecot.conf",
		".pwd.lock", "machine-id", "apparmor.d/abstractions/openssl", "mysql/my.cnf", "bind/bind.keys", "postfix/main.cf",
	} {
		if Secret(name) {
			t.Errorf("Secret(%q) = true", name)
		}
	}
}

func TestPatternsAreSound(t *testing.T) {
	for _, pattern := range secretPaths {
		if _, err := path.Match(pattern, "x"); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
		if strings.ContainsAny(pattern[:1], "*?[") {
			t.Errorf("%q begins with a wildcard, which listed relies on not to happen", pattern)
		}
	}
	for _, pattern := range append(append(secretNames[:len(secretNames):len(secretNames)], secretPaths...), secretFolders...) {
		if pattern != strings.ToLower(pattern) {
			t.Errorf("%q can never match: names are compared in lower case", pattern)
		}
	}
	for _, pattern := range secretNames {
		if strings.ContainsAny(pattern, `/?[\`) {
			t.Errorf("%q has more than %q", pattern, "*")
		}
	}
}

func TestSniffFindsSecrets(t *testing.T) {
	for _, content := range []string{
		"-----BEGIN PRIVATE KEY-----\nMC4CAQ", "x\n  -----BEGIN RSA PRIVATE KEY-----", "# -----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN ENCRYPTED PRIVATE KEY-----",
		"-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----", "PuTTY-User-Key-File-3: ssh-ed25519",
		"AGE-SECRET-KEY-1QQQ", "    client-key-data: LS0tLS1C", "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",
		"network={\n\tssid=\"skole\"\n\tpsk=\"hunter2\"\n}", "password=hunter2", "Password = \"hunter2\"", "iface wlan0 inet dhcp\n  wpa-psk hunter2", "wpa_passphrase=hunter2",
		"uri ldap://x\nbindpw hunter2", "bindpw\thunter2", "rootpw {SSHA}abc", "ldap_default_authtok = hunter2", "olcRootPW:: e1NTSEF9YWJj",
		"syncrepl rid=1 bindmethod=simple credentials=hunter2", "userPassword: {SSHA}N0T3T4N0Wabcdef", "dbc_dbpass='hunter2'", "$dbpass='hunter2';", "$conf['db_pass'] = \"hunter2\";",
		"<referral adminDn=\"cn=admin\" adminPassword=\"hunter2\"/>", "\"api_key\": \"hunter2\"", "export HTTP_TOKEN=hunter2", "password: hunter2", "key \"x\" {\n  secret \"aGk=\";\n}",
		"bob Cleartext-Password := \"hunter2\"", "'password' => 'hunter2',", "Acquire::http::Proxy \"http://kari:hunter2@proxy:3128\";", "DeviceURI smb://kari:hunter2@print/laser",
		"rwcommunity hunter2", "createUser kari MD5 hunter2 DES", "requirepass hunter2", "root:$6$salt$0123456789abcdef:19000:0:99999:7:::", "kari:$apr1$zzYXNMkf$KM0cGbMKb",
		"password_pbkdf2 root grub.pbkdf2.sha512.10000.ABC", "password = secret", "psk=\xff\xfe", "a\r\npassword=x1\r\n", "passwd: $y$j9T$abcdefghijkl",
		"  <source-password>hunter2</source-password>", "machine x login kari password hunter2", "* * * * * root backup --password=hunter2", "<OpenVPN>\n-----BEGIN OpenVPN Static key V1-----",
	} {
		if !Sniff([]byte(content)) {
			t.Errorf("Sniff(%q) = false", content)
		}
	}
}

func TestSniffPassesOrdinaryConfiguration(t *testing.T) {
	for _, content := range []string{
		"", "\n", "-----BEGIN CERTIFICATE-----\nMIIB", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PGP PUBLIC KEY BLOCK-----", "# password = hunter2", "; password = hunter2", "// password: x",
		"passwd:         files systemd ldap\nshadow: files", "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt", "password requisite pam_deny.so",
		"PasswordAuthentication no", "PermitEmptyPasswords no", "PASS_MAX_DAYS 99999", "password =", "password = \"\"", "ask_password = yes", "password: none", "password = ${DB_PASSWORD}",
		"Port 631\nServerName tjener.intern", "http://deb.example.org/debian", "mailto:kari@skole.no", "deb [signed-by=/etc/apt/keyrings/x.asc] https://x", "ssh://git@host/repo",
		"unix password sync = yes", "passwd program = /usr/bin/passwd %u", "passwd chat = *Enter\\snew\\spassword:* %n", "smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd",
		"XKBMODEL=\"pc105\"", "key_mgmt=WPA-EAP", "ssl_key = </etc/dovecot/private/dovecot.key", "PATH=$1/$2", "if [ \"$PASSWORD\" == \"\" ]; then", "rocommunity public",
		"HostKey /etc/ssh/ssh_host_rsa_key", "spf = pass:softfail", "token_file = x", "PROXY_PASSWORD=$FIRSTUSERPWD", "keyserver hkps://keys.openpgp.org", "host: a:b@c", "<password></password>", "<password><x/></password>", "password sufficient pam_ldap.so", "account required pam_login.so password",
		"# use login x password y",
	} {
		if Sniff([]byte(content)) {
			t.Errorf("Sniff(%q) = true", content)
		}
	}
}

func TestEveryNameOfASecretPassesTheCheapTest(t *testing.T) {
	for _, name := range append(secretEndings[:len(secretEndings):len(secretEndings)], secretDirectives...) {
		if !mentions([]byte(name)) {
			t.Errorf("mentions(%q) = false: the name would never be looked at", name)
		}
	}
}

func TestALongLineIsReadInLinearTime(t *testing.T) {
	for _, part := range []string{"password=${", "password ", `"token":"",`, "a://b:", "$6$ {SSHA}", "-----BEGIN "} {
		content := []byte(strings.Repeat(part, (1<<20)/len(part)))
		start := time.Now()
		Sniff(content)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%d bytes of %q took %v", len(content), part, took)
		}
	}
}

// FuzzSniff: no content makes Sniff panic, and nothing before a private key
// hides it.
func FuzzSniff(f *testing.F) {
	f.Add([]byte("password=x"))
	f.Add([]byte("a://b:c@d\n$6$abc\n{SSHA}\n-----BEGIN -----BEGIN "))
	f.Fuzz(func(t *testing.T, content []byte) {
		Sniff(content)
		if !Sniff(append(content, "\n-----BEGIN PRIVATE KEY-----\n"...)) {
			t.Error("a private key was not seen")
		}
	})
}

// FuzzSecret: no path makes Secret panic, and a copy is as secret as its file.
func FuzzSecret(f *testing.F) {
	f.Add("shadow")
	f.Add("/etc/a/../ssl/private/\xff~~..swp##")
	f.Fuzz(func(t *testing.T, name string) {
		if Secret(name) && path.Base(name) == path.Base(path.Clean(name)) && !Secret(name+".bak") {
			t.Errorf("%q is secret and its copy is not", name)
		}
	})
}

func BenchmarkSniff(b *testing.B) {
	content := []byte(strings.Repeat("# Comment lines are most of /etc.\nServerName tjener.intern\nTimeout 300\nKeepAlive On\n", 1000))
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if Sniff(content) {
			b.Fatal("found a secret")
		}
	}
}

func BenchmarkSecret(b *testing.B) {
	for b.Loop() {
		if Secret("apache2/mods-available/authnz_ldap.load") {
			b.Fatal("said to be secret")
		}
	}
}
