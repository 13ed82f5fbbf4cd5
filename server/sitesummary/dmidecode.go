package sitesummary

import (
	"cmp"
	"strings"

	"rollcall/internal/fact"
)

// dmidecode reads the first structure of each of the types 0 to 3 (DSP0134) as
// dmidecode(8) prints them: BIOS, system, board and case.
func (s *sheet) dmidecode(b []byte) {
	found := parseDMI(b)
	bios, system, board, chassis := found["0"], found["1"], found["2"], found["3"]
	for _, p := range []struct{ value, path string }{
		{bios["Vendor"], "hw/bios/vendor"},
		{bios["Version"], "hw/bios/version"},
		{bios["Release Date"], "hw/bios/date"},
		{bios["BIOS Revision"], "hw/bios/release"},
		{bios["Firmware Revision"], "hw/bios/ec"},
		{system["Manufacturer"], "hw/system/vendor"},
		{system["SKU Number"], "hw/system/sku"},
		{system["Family"], "hw/system/family"},
		{system["Serial Number"], "id/serial/product"},
		{board["Manufacturer"], "hw/board/vendor"},
		{board["Product Name"], "hw/board/product"},
		{board["Version"], "hw/board/version"},
		{board["Serial Number"], "id/serial/board"},
		{chassis["Manufacturer"], "hw/chassis/vendor"},
		{chassis["Version"], "hw/chassis/version"},
		{chassis["Serial Number"], "id/serial/chassis"},
		{chassis["Asset Tag"], "id/tag"},
	} {
		s.put(genuine(p.value), strings.Split(p.path, "/")...)
	}
	if uuid := system["UUID"]; !fact.BadUUID(uuid) {
		s.put(strings.ToLower(strings.TrimSpace(uuid)), "id", "uuid")
	}
	s.put(chassisName(chassis["Type"]), "hw", "chassis", "type")
	// Lenovo has its type number in the product's place and the name in the version's;
	// where the product is a placeholder the board stands in.
	product, version := genuine(system["Product Name"]), genuine(system["Version"])
	if strings.EqualFold(system["Manufacturer"], "lenovo") && version != "" {
		product, version = version, product
	}
	s.put(cmp.Or(product, genuine(board["Product Name"])), "hw", "system", "product")
	s.put(version, "hw", "system", "version")
}

// parseDMI gives the values of the first structure of each type. A structure begins
// "Handle 0x0001, DMI type 1, 27 bytes"; its values are indented by one tab.
func parseDMI(b []byte) map[string]map[string]string {
	found := map[string]map[string]string{}
	var at map[string]string
	for line := range lines(b) {
		switch {
		case strings.HasPrefix(line, "Handle "):
			_, kind, _ := strings.Cut(line, "DMI type ")
			kind, _, _ = strings.Cut(kind, ",")
			at = nil
			if _, known := found[kind]; !known && len(kind) == 1 {
				at = map[string]string{}
				found[kind] = at
			}
		case at != nil && strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "\t\t"):
			key, v, ok := strings.Cut(line[1:], ":")
			if ok && len(at) < 100 {
				at[key] = strings.TrimSpace(v)
			}
		}
	}
	return found
}

// chassisName gives the agent's name of a type of case, which is the standard's.
func chassisName(s string) string {
	switch s = strings.ToLower(genuine(s)); s {
	case "low profile desktop":
		return "low-profile desktop"
	case "multi-system":
		return "multi-system chassis"
	case "compactpci":
		return "compact pci"
	case "advancedtca":
		return "advanced tca"
	case "blade enclosing":
		return "blade enclosure"
	}
	return s
}
