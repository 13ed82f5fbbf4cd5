package seal

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"
)

var radarKey = bytes.Repeat([]byte{7}, FingerprintKeySize)

func radarFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/radar/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The files are of ssh-keygen: one key in the form of OpenSSH and in another one,
// under another comment, and behind a passphrase.
func TestAPrivateKeyIsTheSameInAllItsForms(t *testing.T) {
	for _, forms := range [][]string{{"ed25519", "ed25519.comment", "ed25519.locked"}, {"rsa", "rsa.pem"}, {"ecdsa", "ecdsa.pkcs8"}} {
		var first []string
		for _, form := range forms {
			got := Radar(radarKey, "ssh/ssh_host_x_key", radarFile(t, form))[KindSSHHostKey]
			if len(got) != 1 {
				t.Fatalf("%s: %v", form, got)
			}
			if first == nil {
				first = got
			}
			if !slices.Equal(first, got) {
				t.Errorf("%s is another key than %s", form, forms[0])
			}
		}
	}
	a, b := Radar(radarKey, "ssh/ssh_host_a_key", radarFile(t, "rsa")), Radar(radarKey, "ssh/ssh_host_a_key", radarFile(t, "ed25519"))
	if slices.Equal(a[KindSSHHostKey], b[KindSSHHostKey]) {
		t.Error("two keys are the same")
	}
}

// keytab makes a keytab with one entry a key.
func keytab(principal string, keys ...string) []byte {
	counted := func(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }
	out := []byte{5, 2}
	for _, k := range keys {
		e := slices.Concat([]byte{0, 2}, counted("INTERN"), counted("host"), counted(principal), make([]byte, 9), []byte{0, 18}, counted(k), []byte{0, 0, 0, 3})
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(e))), e...)
		out = append(out, 0xff, 0xff, 0xff, 0xfc, 1, 2, 3, 4) // a hole of four bytes
	}
	return out
}

func TestTheSameSecretIsFoundWhateverIsAroundIt(t *testing.T) {
	const wg = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
	for _, tt := range []struct {
		kind         string
		nameA, textA string
		nameB, textB string
	}{
		{KindWifi, "wpa_supplicant/wpa_supplicant.conf", "network={\n\tpsk=\"hunter2\"\n}", "NetworkManager/system-connections/Skole", "[wifi-security]\npsk=hunter2\n"},
		{KindWifi, "network/interfaces", "iface wlan0 inet dhcp\n  wpa-psk hunter2\n", "hostapd/hostapd.conf", "wpa_passphrase=hunter2\n"},
		{KindWireGuard, "wireguard/wg0.conf", "[Interface]\nPrivateKey = " + wg + "\n", "NetworkManager/system-connections/wg", "[wireguard]\nprivate-key=" + wg + "\n"},
		{KindKeytab, "krb5.keytab", string(keytab("a", "0123456789abcdef0123456789abcdef")), "krb5.keytab", string(keytab("other", "0123456789abcdef0123456789abcdef"))},
		{KindTLSKey, "ssl/private/a.pem", string(radarFile(t, "rsa.pem")), "apache2/b.key", "junk\n" + string(radarFile(t, "rsa.pem"))},
		{KindSSHKey, "x/deploy", string(radarFile(t, "ed25519")), "y/id_ed25519", string(radarFile(t, "ed25519.comment"))},
		{KindVPN, "openvpn/ta.key", "-----BEGIN OpenVPN Static key V1-----\nAB\ncd\n-----END OpenVPN Static key V1-----\n", "openvpn/x.ovpn", "<tls-auth>\n-----BEGIN OpenVPN Static key V1-----\nabcd\n-----END"},
	} {
		a, b := Radar(radarKey, tt.nameA, []byte(tt.textA))[tt.kind], Radar(radarKey, tt.nameB, []byte(tt.textB))[tt.kind]
		if len(a) != 1 || !slices.Equal(a, b) {
			t.Errorf("%s: %v and %v", tt.kind, a, b)
		}
		other := Radar(bytes.Repeat([]byte{8}, FingerprintKeySize), tt.nameA, []byte(tt.textA))[tt.kind]
		if slices.Equal(a, other) {
			t.Errorf("%s: the fingerprint does not depend on the radar key", tt.kind)
		}
	}
}

func TestWhatIsNoSecretGivesNoFingerprint(t *testing.T) {
	for _, text := range []string{"", "psk=\n", "# psk=hunter2\n", "psk=${PSK}\n", "PrivateKey = short\n", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "\x05\x02", "key_mgmt=WPA-PSK\n"} {
		if got := Radar(radarKey, "x", []byte(text)); len(got) > 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
	var many strings.Builder
	many.WriteString(strings.Repeat("psk=a%\n", 3))
	for i := range 100 {
		many.WriteString("psk=x" + strings.Repeat("y", i) + "\n")
	}
	if got := Radar(radarKey, "x", []byte(many.String()))[KindWifi]; len(got) != maxRadar {
		t.Errorf("%d fingerprints of one file, want %d", len(got), maxRadar)
	}
}

func TestARadarKeyIsSixtyFourDigits(t *testing.T) {
	good := strings.Repeat("0a", FingerprintKeySize)
	if key, err := ParseRadarKey([]byte(good + "\n")); err != nil || len(key) != FingerprintKeySize {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "hunter2", good[2:], good + "00"} {
		if _, err := ParseRadarKey([]byte(text)); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzRadar: no content makes Radar panic, and each fingerprint is 32 digits.
func FuzzRadar(f *testing.F) {
	f.Add("ssh/ssh_host_ed25519_key", radarFile(f, "ed25519"))
	f.Add("krb5.keytab", keytab("a", "key"))
	f.Add("x", []byte("psk=x\n-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		for kind, marks := range Radar(radarKey, name, content) {
			for _, m := range marks {
				if len(m) != 32 || !slices.Contains(SharedKinds(), kind) {
					t.Errorf("%s %q", kind, m)
				}
			}
		}
	})
}
