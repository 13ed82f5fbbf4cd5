package collect

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestEDIDAgreesWithEdidDecode(t *testing.T) {
	dir := corpus(t, "edid/linuxhw")
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no blocks in %s: %v", dir, err)
	}
	size := regexp.MustCompile(`Maximum image size: (\d+) cm x (\d+) cm`)
	compared := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		_, decoded, _ := strings.Cut(text, "edid-decode (hex):")
		hexa, decoded, _ := strings.Cut(decoded, "----")
		block, err := hex.DecodeString(strings.Join(strings.Fields(hexa), ""))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		e, err := parseEDID(block)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		decoded, _, _ = strings.Cut(decoded, "\nBlock 1")
		f := keyValues([]byte(decoded))
		check := func(what, got, want string) {
			if got != want {
				t.Errorf("%s: %s = %q, want %q", filepath.Base(file), what, got, want)
			}
		}
		check("vendor", e.vendor, f["Manufacturer"])
		check("product", strconv.Itoa(int(e.product)), f["Model"])
		if n := f["Serial Number"]; n != "" && n != "..." && !strings.Contains(n, "(") {
			check("number", strconv.FormatUint(uint64(e.number), 10), n)
		}
		if name, quoted := f["Display Product Name"]; quoted && strings.HasPrefix(name, "'") {
			name = strings.TrimSpace(strings.Trim(name, "'"))
			if strings.Count(decoded, "Display Product Name: '") > 1 && strings.HasSuffix(e.name, name) {
				name = e.name // two parts, of which the map holds the last
			}
			check("name", e.name, name)
		}
		if made := f["Made in"]; made != "" {
			check("year", strconv.Itoa(e.year), made[len(made)-4:])
			if week, ok := strings.CutPrefix(made, "week "); ok {
				week, _, _ = strings.Cut(week, " ")
				check("week", strconv.Itoa(e.week), week)
			}
		}
		if m := size.FindStringSubmatch(decoded); m != nil {
			check("size", strconv.Itoa(e.width)+"x"+strconv.Itoa(e.height), m[1]+"x"+m[2])
		}
		compared++
	}
	t.Logf("%d monitors compared", compared)
}

func TestEDIDTellsWhatGLPIExpects(t *testing.T) {
	dir := corpus(t, "glpi-agent")
	b, err := os.ReadFile(filepath.Join(dir, "expected", "tasks_inventory_generic_screen.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Tests map[string]struct {
			Caption, Description, Serial, Altserial string
		} `json:"edid_tests"`
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	compared, serials := 0, 0
	for name, w := range want.Tests {
		block, err := os.ReadFile(filepath.Join(dir, "generic", "edid", name))
		if err != nil {
			continue // a fixture that was not captured
		}
		e, err := parseEDID(block)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compared++
		flat := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		switch {
		case flat(e.name) == flat(w.Caption): // GLPI puts a space between two parts
		case e.name == "" && (strings.Contains(flat(w.Caption), flat(e.text)) || strings.Contains(flat(e.text), flat(w.Caption))):
		default:
			t.Errorf("%s: model = %q, want %q", name, e.name, w.Caption)
		}
		if week, year, ok := strings.Cut(w.Description, "/"); ok {
			if strconv.Itoa(e.week) != week && e.week != 0 || strconv.Itoa(e.year) != year {
				t.Errorf("%s: made %d/%d, want %s", name, e.week, e.year, w.Description)
			}
		}
		// What GLPI combines in its makers' ways is told here as its two parts.
		if w.Serial == "00000000" {
			w.Serial = "" // none
		}
		number := e.serialNumber()
		text := strings.ToLower(e.serial)
		serial := strings.ToLower(w.Serial)
		if serial == "" || serial == text || serial == strings.ToLower(w.Altserial) || serial == number || number != "" && strings.Contains(serial, number) ||
			text != "" && strings.Contains(serial, text) || serial == strconv.FormatUint(uint64(e.number), 10) {
			serials++
			continue
		}
		t.Logf("%s: serial of GLPI %q, ours %q and %q", name, w.Serial, e.serial, number)
	}
	if compared < 50 || serials < compared*9/10 {
		t.Errorf("%d monitors compared, %d serials explained", compared, serials)
	}
	t.Logf("%d monitors compared, %d serials explained", compared, serials)
}

func TestEDIDRefusesWhatIsNone(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, 128), []byte("\x00\xff\xff\xff\xff\xff\xff\x00")} {
		if _, err := parseEDID(b); err == nil {
			t.Errorf("%d bytes taken for a block", len(b))
		}
	}
}

func FuzzEDID(f *testing.F) {
	block := make([]byte, 128)
	copy(block, "\x00\xff\xff\xff\xff\xff\xff\x00\x10\xac\x79\xa0")
	copy(block[54:], "\x00\x00\x00\xff\x007XK3R83\n     ")
	f.Add(block)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEDID(b)
		if err != nil {
			return
		}
		s := &Sink{collector: Collector{Owns: []string{"hw/monitor/"}}}
		e.facts(s, "DP-1")
		if s.foreign != "" {
			t.Errorf("bad fact %q", s.foreign)
		}
	})
}
