package collect

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"rollcall/internal/fact"
)

// dmiTree makes the kernel's DMI folder from its values.
func dmiTree(values map[string]string) fstest.MapFS {
	tree := fstest.MapFS{}
	for name, v := range values {
		tree["sys/class/dmi/id/"+name] = &fstest.MapFile{Data: []byte(v + "\n")}
	}
	return tree
}

func TestDMIGivesModelsAsPeopleCallThem(t *testing.T) {
	tests := []struct {
		name             string
		values           map[string]string
		product, version string
	}{
		{"plain", map[string]string{"sys_vendor": "Dell Inc.", "product_name": "OptiPlex 7050"}, "OptiPlex 7050", ""},
		{
			"lenovo has them swapped",
			map[string]string{"sys_vendor": "LENOVO", "product_name": "1298A8G", "product_version": "ThinkPad Edge E320"},
			"ThinkPad Edge E320", "1298A8G",
		},
		{"the board stands in", map[string]string{"sys_vendor": "To be filled by O.E.M.", "product_name": "System Product Name", "board_name": "P5Q"}, "P5Q", ""},
	}
	for _, tt := range tests {
		got := collected(t, dmi(), dmiTree(tt.values))
		if got["hw/system/product"] != tt.product || got["hw/system/version"] != tt.version {
			t.Errorf("%s: %v, want %q %q", tt.name, got, tt.product, tt.version)
		}
	}
}

func TestHardwareOutsideAContainerIsNotItsOwn(t *testing.T) {
	tree := dmiTree(map[string]string{"sys_vendor": "Dell Inc.", "product_serial": "447E330", "bios_vendor": "Dell Inc."})
	tree["sys/firmware/dmi/tables/DMI"] = &fstest.MapFile{Data: []byte("\x08\x09\x01\x00\x00\x00\x01\x0b\x1fLAN 1\x00\x00")}
	tree["sys/firmware/efi/x"] = &fstest.MapFile{}
	inside := maps.Clone(tree)
	inside["run/systemd/container"] = &fstest.MapFile{Data: []byte("lxc\n")}
	for _, c := range []Collector{dmi(), smbiosTables(), firmware()} {
		if got := collected(t, c, tree); len(got) == 0 {
			t.Errorf("%s: no facts outside of a container", c.Name)
		}
		if got := collected(t, c, inside); len(got) != 0 {
			t.Errorf("%s: %v inside a container", c.Name, got)
		}
	}
}

func TestBoardWithoutSMBIOSHasADeviceTree(t *testing.T) {
	got := collected(t, dmi(), fstest.MapFS{
		"proc/device-tree/model":         {Data: []byte("Raspberry Pi 4 Model B Rev 1.4\x00")},
		"proc/device-tree/serial-number": {Data: []byte("10000000a1b2c3d4\x00")},
		"proc/device-tree/compatible":    {Data: []byte("raspberrypi,4-model-b\x00brcm,bcm2711\x00")},
	})
	for path, want := range map[string]string{
		"hw/system/product": "Raspberry Pi 4 Model B Rev 1.4", "hw/system/vendor": "raspberrypi", "id/serial/product": "10000000a1b2c3d4",
	} {
		if got[path] != want {
			t.Errorf("%s = %q, want %q", path, got[path], want)
		}
	}
}

func TestDMIAgreesWithGLPI(t *testing.T) {
	dir := corpus(t, "glpi-agent")
	b, err := os.ReadFile(filepath.Join(dir, "expected", "tasks_inventory_generic_dmidecode_bios.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Tests map[string]map[string]any }
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, w := range want.Tests {
		text, err := os.ReadFile(filepath.Join(dir, "generic", "dmidecode", name))
		if err != nil || !strings.HasPrefix(string(text), "#") {
			continue
		}
		got := collected(t, dmi(), dmiTree(sysfsOf(string(text))))
		if got["id/serial/product"] == "" { // GLPI takes the chassis' for it, here they stay apart
			got["id/serial/product"] = got["id/serial/chassis"]
		}
		for key, path := range map[string]string{
			"SMANUFACTURER": "hw/system/vendor", "SSN": "id/serial/product", "BMANUFACTURER": "hw/bios/vendor",
			"BVERSION": "hw/bios/version", "BDATE": "hw/bios/date", "MMANUFACTURER": "hw/board/vendor", "MSN": "id/serial/board",
		} {
			value, ok := w[key].(string)
			if !ok || fact.Placeholder(value) {
				continue
			}
			compared++
			if !strings.EqualFold(got[path], strings.TrimSpace(value)) {
				t.Errorf("%s: %s = %q, want %q", name, path, got[path], value)
			}
		}
	}
	if compared < 50 {
		t.Errorf("only %d values compared", compared)
	}
	t.Logf("%d values compared", compared)
}

// sysfsOf gives what the kernel would show of a table that dmidecode printed.
func sysfsOf(text string) map[string]string {
	values := map[string]string{}
	parts := map[string]string{
		"BIOS Information": "bios", "System Information": "product", "Base Board Information": "board", "Chassis Information": "chassis",
	}
	names := map[string]string{
		"product Manufacturer": "sys_vendor", "product Product Name": "product_name", "product Version": "product_version",
		"product Serial Number": "product_serial", "bios Vendor": "bios_vendor", "bios Version": "bios_version", "bios Release Date": "bios_date",
		"board Manufacturer": "board_vendor", "board Product Name": "board_name", "board Serial Number": "board_serial",
		"chassis Serial Number": "chassis_serial",
	}
	part := ""
	for line := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if p, ok := parts[trimmed]; ok {
			part = p
			continue
		}
		if trimmed == "" || strings.HasPrefix(trimmed, "Handle ") {
			part = ""
		}
		k, v, ok := strings.Cut(trimmed, ":")
		name, known := names[part+" "+k]
		if _, done := values[name]; ok && known && !done {
			values[name] = strings.TrimSpace(v)
		}
	}
	return values
}
