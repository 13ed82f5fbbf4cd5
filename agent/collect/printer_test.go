package collect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func TestQueuesOfCupsdAreThoseOfLpstat(t *testing.T) {
	dir := corpus(t, "cups")
	files := map[string]string{}
	for _, name := range []string{"printers.conf", "classes.conf"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files["etc/cups/"+name] = string(b)
	}
	got := collected(t, printers(), tree(files))
	oracle, err := os.ReadFile(filepath.Join(dir, "lpstat-t-v-l-p.txt"))
	if err != nil {
		t.Fatal(err)
	}
	devices := 0
	for line := range strings.Lines(string(oracle)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "system default destination: "); ok && got[Path("printer", name, "default")] != "yes" {
			t.Errorf("%s is not the default", name)
		}
		rest, ok := strings.CutPrefix(line, "device for ")
		if name, uri, ok2 := strings.Cut(rest, ": "); ok && ok2 && !strings.HasPrefix(uri, "///") { // a class has none
			devices++
			if have := strings.TrimPrefix(got[Path("printer", name, "uri")], "file:"); have != fact.Value(uri) {
				t.Errorf("%s: uri %q, want %q", name, have, uri)
			}
		}
	}
	if devices < 4 || got["printer/alle-skrivere/members"] != "Laerervaerelse bibliotek-farge" {
		t.Errorf("%d devices compared; class %q", devices, got["printer/alle-skrivere/members"])
	}
}

func TestStateOfAPrinterIsNoFact(t *testing.T) {
	const before = "<Printer a>\nDeviceURI ipp://a/\nState Idle\nStateTime 1\nAccepting Yes\n</Printer>\n"
	const after = "NextPrinterId 7\n<Printer a>\nDeviceURI ipp://a/\nState Stopped\nStateTime 2\nStateMessage out of paper\nReason media-empty\nAccepting Yes\nPageLimit 3\n</Printer>\n"
	a := collected(t, printers(), tree(map[string]string{"etc/cups/printers.conf": before}))
	b := collected(t, printers(), tree(map[string]string{"etc/cups/printers.conf": after}))
	if len(a) != 2 || len(a) != len(b) || a["printer/a/uri"] != b["printer/a/uri"] {
		t.Errorf("%v\n%v", a, b)
	}
}

func FuzzPrinters(f *testing.F) {
	f.Add("<Printer x>\n", "Info a\n</Printer>\n")
	f.Add("<DefaultClass x>\nPrinter y\n", "<Printer z>")
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, "kanari7") {
			return
		}
		content := before + "\nDeviceURI ipps://kari:kanari7@printer/x?password=kanari7\nAuthInfoRequired kanari7\n" + after
		for path, value := range put(t, func(s *Sink) error {
			for _, q := range parseQueues([]byte(content)) {
				q.facts(s)
			}
			return nil
		}) {
			if strings.Contains(path+value, "kanari7") {
				t.Errorf("%s = %q tells a secret", path, value)
			}
		}
	})
}
