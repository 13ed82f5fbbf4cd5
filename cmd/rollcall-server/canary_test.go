package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.etcd.io/bbolt"
)

// canaryPlaces are files of /etc; %s is where a secret stands. Some are secret by
// their path, the others by what is around the secret alone.
var canaryPlaces = map[string]string{
	"shadow":                   "root:%s:19000:0:99999:7:::\n",
	"shadow-":                  "root:%s:19000:0:99999:7:::\n",
	"ssh/ssh_host_ed25519_key": "-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n-----END OPENSSH PRIVATE KEY-----\n",
	"ssl/private/tjener.key":   "%s\n",
	"apache2/tls.pem":          "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----\n",
	"krb5.keytab":              "\x05\x02%s",
	"ltsp/ltsp.conf":           "[clients]\nPASSWORDS_LAB=\"user[0-9]*/%s\"\n",
	"wpa_supplicant/wpa.conf":  "network={\n\tssid=\"skole\"\n\tpsk=\"%s\"\n}\n",
	"NetworkManager/system-connections/Skole.nmconnection": "[wifi-security]\npsk=%s\n",
	"network/interfaces.d/wlan0":                           "iface wlan0 inet dhcp\n  wpa-psk %s\n",
	"netplan/50-school.yaml":                               "network:\n  wifis:\n    w0:\n      access-points:\n        \"skole\":\n          password: \"%s\"\n",
	"nslcd.conf":                                           "uri ldap://ldap\nbindpw %s\n",
	"ldap/extra.conf":                                      "binddn cn=x\nbindpw %s\n",
	"sssd/sssd.conf.dpkg-old":                              "[domain/x]\nldap_default_authtok = %s\n",
	"myapp/settings.ini":                                   "[db]\nuser = kari\npassword = %s\n",
	"myapp/settings.ini.dpkg-old":                          "[db]\npassword = %s\n",
	"myapp/context.xml":                                    "<Resource name=\"jdbc/x\" username=\"kari\" password=\"%s\"/>\n",
	"myapp/beans.xml":                                      "<property name=\"password\" value=\"%s\"/>\n",
	"myapp/config.json":                                    "{\"db\": {\"user\": \"kari\", \"password\": \"%s\"}}\n",
	"myapp/config.yaml":                                    "db:\n  user: kari\n  password: %s\n",
	"myapp/deploy.yaml":                                    "env:\n- name: DB_PASSWORD\n  value: %s\n",
	"myapp/run.sh":                                         "#!/bin/sh\nexport PGPASSWORD='%s'\nexec psql\n",
	"myapp/fetch.sh":                                       "curl -u kari:%s https://x.example/\n",
	"myapp/old.conf":                                       "# password = %s\nport = 80\n",
	"myapp/wp-config.php":                                  "define('DB_PASSWORD', '%s');\n",
	"myapp/api.toml":                                       "api_key = \"%s\"\n",
	"systemd/system/x.service.d/e.conf":                    "[Service]\nEnvironment=API_TOKEN=%s\n",
	"docker/config.json":                                   "{\"auths\": {\"r.example\": {\"auth\": \"%s\"}}}\n",
	"default/backup":                                       "BACKUP_OPTS=\"--user kari --password %s\"\n",
	"cron.d/backup":                                        "RESTIC_PASSWORD=%s\n0 1 * * * root restic backup /\n",
	"cron.d/push":                                          "0 1 * * * root curl https://kari:%s@x.example/\n",
	".git-credentials":                                     "https://kari:%s@git.example\n",
	"gitconfig":                                            "[remote \"o\"]\n\turl = https://kari:%s@git.example/r.git\n",
	"fstab.cifs":                                           "//nas/share /mnt cifs user=kari,pass=%s,uid=0 0 0\n",
	"apt/apt.conf.d/99proxy":                               "Acquire::http::Proxy \"http://kari:%s@proxy:3128\";\n",
	"grub.d/01_lock":                                       "set superusers=\"root\"\npassword root %s\n",
	"haproxy/haproxy.cfg":                                  "listen s\n  stats auth kari:%s\n",
	"exim4/passwd.client":                                  "*:kari:%s\n",
	"postfix/sasl_passwd":                                  "[mail]:587 kari:%s\n",
	"freeradius/3.0/clients.conf":                          "client x {\n\tsecret = %s\n}\n",
	"wireguard/wg0.conf":                                   "[Interface]\nPrivateKey = %s\n",
}

// canaryFor is the secret of one place.
func canaryFor(i int) string { return fmt.Sprintf("Kx7q%02dCanaryV31pz", i) }

// traces are the forms in which a secret could stand somewhere: itself, in
// hexadecimal, in Base64 at each of its three positions, and the plain digests of
// the file, which would let short secrets be guessed.
func traces(secret, content string) [][]byte {
	out := [][]byte{[]byte(secret), []byte(hex.EncodeToString([]byte(secret)))}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + secret))
		out = append(out, []byte(strings.TrimRight(text, "=")[4:len(text)-6]))
	}
	sum := sha256.Sum256([]byte(content))
	return append(out, sum[:], []byte(hex.EncodeToString(sum[:])))
}

// everything gathers what a thief of the server could read, inflated.
type everything map[string][]byte

func (all everything) files(t *testing.T, what, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		all[what+" "+strings.TrimPrefix(name, dir)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// database adds every value of a copy of a database, with what is compressed in
// it (zstd).
func (all everything) database(t *testing.T, what, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(mine, b, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(mine, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var values bytes.Buffer
	var walk func(b *bbolt.Bucket) error
	walk = func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(b.Bucket(k))
			}
			values.Write(k)
			values.Write(v)
			if at := bytes.Index(v, []byte{0x28, 0xb5, 0x2f, 0xfd}); at >= 0 {
				if plain, err := d.DecodeAll(v[at:], nil); err == nil || len(plain) > 0 {
					values.Write(plain)
				}
			}
			return nil
		})
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return walk(b) })
	})
	if err != nil {
		t.Fatal(err)
	}
	all[what] = values.Bytes()
}

// TestClass22ACanaryInFortyPlacesIsReadableNowhere plants secrets all over an
// /etc, and looks for them in all that a server has and says.
func TestClass22ACanaryInFortyPlacesIsReadableNowhere(t *testing.T) {
	l := newLab(t, loopback(t), "")
	metrics := loopback(t)
	l.stop()
	l.write("server.conf", fmt.Sprintf("data = %s/server\nlisten = %s\naddress = %s\nmetrics = %s\n", l.dir, l.addr, l.addr, metrics))
	l.start()
	l.twoKeys()
	l.mustRecover("radar-key", "--out", "radar.key")
	conf, err := os.ReadFile(l.path("agent.conf"))
	if err != nil {
		t.Fatal(err)
	}
	l.write("agent.conf", string(conf)+"radar_key = "+l.path("radar.key")+"\n")
	m := l.recorded("room12-pc04")["room12-pc04"]
	needles := map[string][][]byte{}
	i := 0
	for name, text := range canaryPlaces {
		i++
		content := fmt.Sprintf(text, canaryFor(i))
		needles[name] = traces(canaryFor(i), content)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(m.root, "etc", name)), 0o755); err != nil {
			t.Fatal(err)
		}
		m.edit("etc/"+name, content)
	}
	const control = "Kx7q-this-is-no-secret-V31pz"
	m.edit("etc/motd", control+"\n")
	m.enrol("elm/north/room12", "workstation")
	m.once()
	for name, text := range canaryPlaces { // and once more: history holds both
		m.edit("etc/"+name, "\n"+fmt.Sprintf(text, "Kx7qSecondCanaryV31pz"))
	}
	needles["the second round"] = traces("Kx7qSecondCanaryV31pz", "")[:5]
	m.once()

	all := everything{}
	repo := l.mirrored("elm/north")
	l.must("rollcall-server", "backup", "--plain", "--config", l.path("server.conf"), l.path("backup"))
	all["objects of git"] = []byte(l.git("--git-dir", repo, "cat-file", "--batch-all-objects", "--batch"))
	all["metrics"] = get(t, "http://"+metrics+"/metrics")
	for _, words := range [][]string{{"ci", "show", m.name, "--all"}, {"ci", "history", m.name, "--facts"}, {"changes", "--json"}, {"radar", "--json"}, {"file", "show", m.name + ":/etc/shadow", "--json"}} {
		all["rollcall "+words[0]] = []byte(l.must("rollcall", words...))
	}
	l.stop()
	all["log"] = []byte(l.log.String())
	all.files(t, "server", l.path("server"))
	all.files(t, "backup", l.path("backup"))
	all.files(t, "state of the agent", m.state)
	all.database(t, "records", l.path("server/rollcall.db"))
	all.database(t, "records of the backup", l.path("backup/rollcall.db"))
	for place, forms := range needles {
		for _, form := range forms {
			for where, b := range all {
				if bytes.Contains(b, form) {
					t.Errorf("the secret of /etc/%s is readable in: %s (as %.20q)", place, where, form)
				}
			}
		}
	}
	// The search finds what is there.
	for _, where := range []string{"objects of git", "records", "records of the backup"} {
		if !bytes.Contains(all[where], []byte(control)) {
			t.Errorf("what is no secret is not found in %s: the search is blind", where)
		}
	}
	if len(canaryPlaces) < 40 || !bytes.Contains(all["metrics"], []byte("rollcall_")) || len(all["log"]) == 0 {
		t.Errorf("%d places, %d bytes of metrics, %d of log", len(canaryPlaces), len(all["metrics"]), len(all["log"]))
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
