package collect

import (
	"maps"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func TestHarmlessSettingsOfSealedFilesAreTold(t *testing.T) {
	const connection = "etc/NetworkManager/system-connections/kablet.nmconnection"
	got := collected(t, settings(), tree(map[string]string{
		"etc/nslcd.conf": "# c\nuri ldaps://tjener.intern\nuri ldap://second.intern\nbase dc=skole\nbinddn cn=reader,dc=skole\nbindpw hemmelig1\nunheard_of x\nuri ldap://user:pw@x\n",
		connection:       "[connection]\nid=kablet\nuuid=1\ntimestamp=2\n\n[ipv4]\nmethod=auto\nignore-auto-dns=true\n[wifi-security]\npsk=hemmelig2\nkey-mgmt=wpa-psk\n[802-1x]\nidentity=kari\npassword=hemmelig3\n[wifi]\nssid=skole\npsk=hemmelig4\n",
		"etc/cups/printers.conf": "NextPrinterId 9\n<DefaultPrinter kopirom>\nUUID urn:uuid:1\nInfo Kopirom\nDeviceURI ipps://tjener/printers/kopirom\nState Idle\nStateTime 17\n" +
			"ErrorPolicy abort-job\nOption a b\nOption c d\n</DefaultPrinter>\n<Printer b>\nDeviceURI smb://kari:hemmelig5@tjener/b\n</Printer>\n",
	}))
	file := func(name string) string { return "setting/" + fact.Name(name) + "/" }
	want := map[string]string{
		file("etc/nslcd.conf") + "uri":     "ldaps://tjener.intern, ldap://second.intern",
		file("etc/nslcd.conf") + "base":    "dc=skole",
		file(connection) + "connection.id": "kablet", file(connection) + "ipv4.method": "auto", file(connection) + "ipv4.ignore-auto-dns": "true", file(connection) + "wifi.ssid": "skole",
		file("etc/cups/printers.conf") + "kopirom.Info": "Kopirom", file("etc/cups/printers.conf") + "kopirom.DeviceURI": "ipps://tjener/printers/kopirom",
		file("etc/cups/printers.conf") + "kopirom.ErrorPolicy": "abort-job", file("etc/cups/printers.conf") + "kopirom.Option": "a b, c d",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// FuzzSettings lets no secret out, whatever stands around it, and no value of a
// key that is not on a list.
func FuzzSettings(f *testing.F) {
	f.Add("[ipv4]\n", "\nbindpw ")
	f.Add("<Printer x>\n", "\nDeviceURI smb://a:")
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 10000 || strings.Contains(before+after, "kanari7") {
			return
		}
		for _, key := range []string{"\nbindpw kanari7\n", "\nrootpwmodpw kanari7\n", "\n[wifi-security]\npsk=kanari7\n", "\npassword=kanari7\n", "\n[vpn-secrets]\nx=kanari7\n"} {
			for _, name := range []string{"etc/nslcd.conf", "etc/NetworkManager/system-connections/a", "etc/cups/printers.conf"} {
				for path, value := range collected(t, settings(), tree(map[string]string{name: before + key + after})) {
					if strings.Contains(value, "kanari7") {
						t.Fatalf("%s = %q tells a secret", path, value)
					}
				}
			}
		}
	})
}
