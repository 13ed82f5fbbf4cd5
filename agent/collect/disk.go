package collect

import (
	"cmp"
	"context"
	"encoding/binary"
	"io/fs"
	"strconv"
	"strings"
)

func disk() Collector {
	return Collector{Name: "disk", Owns: []string{"hw/disk/", "hw/removable/"}, Collect: collectDisks}
}

const blockDir = "sys/block"

// collectDisks lists whole drives from sysfs and from what udev has noted about
// them. No drive is opened, so none is woken. Drives that come and go (USB,
// cards, discs) are listed apart, as event-like.
func collectDisks(ctx context.Context, h Host, s *Sink) error {
	names, err := h.Names(blockDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !isDrive(name) {
			continue
		}
		driveFacts(h, s, name)
	}
	return nil
}

// isDrive tells drives from what the kernel builds on top of them or in memory.
func isDrive(name string) bool {
	for _, p := range []string{"loop", "ram", "zram", "dm-", "md", "nbd", "zd", "drbd", "bcache", "rbd", "nullb", "fd", "pmem", "ublkb"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	// The hidden boot and secure areas of an eMMC are part of it.
	return !strings.HasPrefix(name, "mmcblk") || !strings.Contains(name, "boot") && !strings.Contains(name, "rpmb")
}

func driveFacts(h Host, s *Sink, name string) {
	dir := blockDir + "/" + name + "/"
	kind := "disk"
	if removable(h, s, name) {
		kind = "removable"
	}
	put := func(what, value string) { s.Fact(Path("hw", kind, name, what), value) }
	line := func(files ...string) string {
		for _, f := range files {
			if v := real(h.Line(s, dir+f)); v != "" {
				return v
			}
		}
		return ""
	}
	known := udevBlock(h, h.Line(s, dir+"dev"))
	ata := ataIdentity(h, dir+"device/vpd_pg89")
	put("model", cmp.Or(ata.model, line("device/model", "device/name"), strings.ReplaceAll(known["ID_MODEL"], "_", " ")))
	put("vendor", ataVendor(line("device/vendor")))
	put("firmware", cmp.Or(ata.firmware, line("device/firmware_rev", "device/rev", "device/fwrev")))
	put("serial", cmp.Or(ata.serial, real(known["ID_SERIAL_SHORT"]), line("device/serial", "serial"), unitSerial(h, dir+"device/vpd_pg80")))
	put("wwn", cmp.Or(wwn(known["ID_WWN"]), wwn(line("wwid", "device/wwid"))))
	if sectors, err := strconv.ParseUint(h.Line(s, dir+"size"), 10, 54); err == nil && sectors > 0 {
		put("size", strconv.FormatUint(sectors*512, 10)) // sysfs counts in 512 bytes whatever the drive does
	}
	put("rotational", map[string]string{"0": "no", "1": "yes"}[h.Line(s, dir+"queue/rotational")])
	put("ptuuid", known["ID_PART_TABLE_UUID"])
	if h.Line(s, dir+"ro") == "1" {
		put("readonly", "yes")
	}
	partFacts(h, s, kind, name)
}

// partFacts lists the drive's partitions and what udev has found in them.
func partFacts(h Host, s *Sink, kind, drive string) {
	names, err := h.Names(blockDir + "/" + drive)
	if err != nil {
		return
	}
	for _, name := range names {
		dir := blockDir + "/" + drive + "/" + name + "/"
		if !strings.HasPrefix(name, drive) || !h.Exists(dir+"partition") {
			continue
		}
		sectors, err := strconv.ParseUint(h.Line(s, dir+"size"), 10, 54)
		if err != nil {
			continue
		}
		var value strings.Builder
		value.WriteString("size=" + strconv.FormatUint(sectors*512, 10))
		known := udevBlock(h, h.Line(s, dir+"dev"))
		for _, k := range []struct{ name, key string }{
			{"type", "ID_FS_TYPE"}, {"uuid", "ID_FS_UUID"}, {"label", "ID_FS_LABEL"}, {"partuuid", "ID_PART_ENTRY_UUID"},
		} {
			if v := known[k.key]; v != "" {
				value.WriteString(" " + k.name + "=" + v)
			}
		}
		s.Fact(Path("hw", kind, drive, "part", name), value.String())
	}
}

// removable tells whether the drive or its medium comes and goes.
func removable(h Host, s *Sink, name string) bool {
	dir := blockDir + "/" + name
	if h.Line(s, dir+"/removable") == "1" || h.Line(s, dir+"/device/type") == "SD" {
		return true
	}
	target, err := fs.ReadLink(h.FS, dir)
	return err == nil && strings.Contains(target, "/usb")
}

// udevBlock reads the "E:" values that udev keeps about a block device
// "MAJOR:MINOR". Without udev it is empty.
func udevBlock(h Host, dev string) map[string]string {
	values := map[string]string{}
	if dev == "" {
		return values
	}
	// Without the file there is nothing to add; part of it is as good.
	_ = h.Lines("run/udev/data/b"+dev, func(line string) bool {
		if kv, ok := strings.CutPrefix(line, "E:"); ok {
			if k, v, ok := strings.Cut(kv, "="); ok {
				values[k] = v
			}
		}
		return len(values) < 200
	})
	return values
}

// identity is how an ATA drive names itself.
type identity struct{ model, serial, firmware string }

// ataIdentity reads the IDENTIFY DEVICE words that the kernel keeps as SCSI page
// 89h (SAT-3 12.4.2): the SCSI model beside it is cut to 16 characters.
func ataIdentity(h Host, name string) identity {
	b, err := h.ReadHead(name, 60+512)
	if err != nil || len(b) < 60+94 || b[1] != 0x89 {
		return identity{}
	}
	words := b[60:]
	return identity{
		serial: real(ataString(words[20:40])), firmware: ataString(words[46:54]), model: ataString(words[54:94]),
	}
}

// ataString undoes the byte order of ATA strings (ACS-3 3.4.9).
func ataString(b []byte) string {
	out := make([]byte, len(b))
	for i := 0; i+1 < len(b); i += 2 {
		binary.BigEndian.PutUint16(out[i:], binary.LittleEndian.Uint16(b[i:]))
	}
	return strings.Trim(string(out), " \x00")
}

// unitSerial reads the Unit Serial Number page of a SCSI device (SPC-4 7.8.15).
func unitSerial(h Host, name string) string {
	b, err := h.ReadHead(name, 256)
	if err != nil || len(b) < 4 || b[1] != 0x80 {
		return ""
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	return real(strings.Trim(string(b[4:min(4+n, len(b))]), " \x00"))
}

// ataVendor drops the vendor that the kernel gives to every ATA drive.
func ataVendor(v string) string {
	if v == "ATA" {
		return ""
	}
	return v
}

// wwn accepts names that are unique in the world; the others ("t10.…") are made
// from model and serial.
func wwn(s string) string {
	for _, p := range []string{"naa.", "eui.", "nvme.", "uuid.", "0x"} {
		if id, ok := strings.CutPrefix(s, p); ok && strings.Trim(id, "0123456789abcdefABCDEF-") == "" {
			return s
		}
	}
	return ""
}
