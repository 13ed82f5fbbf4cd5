package collect

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"rollcall/internal/fact"
)

func dmi() Collector {
	return Collector{
		Name:    "dmi",
		Owns:    []string{"id/uuid", "id/serial/", "id/tag", "hw/system/", "hw/board/", "hw/bios/", "hw/chassis/"},
		Collect: collectDMI,
	}
}

// dmiDir is a folder of one-line files, one for each value.
const dmiDir = "sys/class/dmi/id"

// collectDMI reads what the kernel has taken from SMBIOS types 0 to 3, or on
// ARM from the device tree. In a container both are those of the machine around
// it, which must not be mistaken for the CI's own.
func collectDMI(_ context.Context, h Host, s *Sink) error {
	if container(h) != "" {
		return fs.ErrNotExist
	}
	if !h.Exists(dmiDir) {
		return deviceTree(h, s)
	}
	for name, path := range map[string]string{
		"sys_vendor": "hw/system/vendor", "product_sku": "hw/system/sku", "product_family": "hw/system/family",
		"board_vendor": "hw/board/vendor", "board_name": "hw/board/product", "board_version": "hw/board/version",
		"bios_vendor": "hw/bios/vendor", "bios_version": "hw/bios/version", "bios_date": "hw/bios/date",
		"bios_release": "hw/bios/release", "ec_firmware_release": "hw/bios/ec",
		"chassis_vendor": "hw/chassis/vendor", "chassis_version": "hw/chassis/version",
		"product_serial": "id/serial/product", "board_serial": "id/serial/board", "chassis_serial": "id/serial/chassis",
		"chassis_asset_tag": "id/tag",
	} {
		s.Fact(path, real(h.Line(s, dmiDir+"/"+name)))
	}
	product, version := model(h, s)
	s.Fact("hw/system/product", product)
	s.Fact("hw/system/version", version)
	if uuid := h.Line(s, dmiDir+"/product_uuid"); !fact.BadUUID(uuid) {
		s.Fact("id/uuid", strings.ToLower(uuid))
	}
	if n, err := strconv.Atoi(h.Line(s, dmiDir+"/chassis_type")); err == nil {
		s.Fact("hw/chassis/type", chassisName(n))
	}
	return nil
}

// model gives product and version as people call them. Lenovo has its type
// number in the product's place and the name in the version's; where the product
// is a placeholder the board stands in.
func model(h Host, s *Sink) (product, version string) {
	product, version = real(h.Line(s, dmiDir+"/product_name")), real(h.Line(s, dmiDir+"/product_version"))
	if strings.EqualFold(h.Line(s, dmiDir+"/sys_vendor"), "lenovo") && version != "" {
		product, version = version, product
	}
	if product == "" {
		product = real(h.Line(s, dmiDir+"/board_name"))
	}
	return product, version
}

// deviceTree reads the model of a machine without SMBIOS (Devicetree
// Specification 2.3). Values end with a zero byte.
func deviceTree(h Host, s *Sink) error {
	const dir = "proc/device-tree/"
	name, err := h.ReadLine(dir + "model")
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return err
		}
		return fs.ErrNotExist
	}
	s.Fact("hw/system/product", name)
	s.Fact("id/serial/product", real(h.Line(s, dir+"serial-number")))
	compatible, _, _ := strings.Cut(h.Line(s, dir+"compatible"), "\x00")
	vendor, _, _ := strings.Cut(compatible, ",")
	s.Fact("hw/system/vendor", vendor)
	return nil
}

// chassisName names a chassis type as SMBIOS (DSP0134 7.4.1) does; the highest
// bit tells of a lock.
func chassisName(n int) string {
	names := []string{
		"", "other", "unknown", "desktop", "low-profile desktop", "pizza box", "mini tower", "tower", "portable",
		"laptop", "notebook", "hand held", "docking station", "all in one", "sub notebook", "space-saving",
		"lunch box", "main server chassis", "expansion chassis", "sub chassis", "bus expansion chassis",
		"peripheral chassis", "raid chassis", "rack mount chassis", "sealed-case pc", "multi-system chassis",
		"compact pci", "advanced tca", "blade", "blade enclosure", "tablet", "convertible", "detachable",
		"iot gateway", "embedded pc", "mini pc", "stick pc",
	}
	if n &= 0x7f; n < len(names) {
		return names[n]
	}
	return strconv.Itoa(n)
}
