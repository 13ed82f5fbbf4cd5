package collect

import (
	"context"
	"errors"
	"io/fs"
	"strings"
)

func firmware() Collector {
	return Collector{Name: "firmware", Owns: []string{"hw/firmware", "hw/secureboot", "hw/tpm"}, Collect: collectFirmware}
}

// collectFirmware tells how the machine starts (uefi or bios), whether Secure
// Boot is on, and the TPM's version.
func collectFirmware(_ context.Context, h Host, s *Sink) error {
	if !h.Exists("sys/class") || container(h) != "" {
		return fs.ErrNotExist
	}
	switch {
	case h.Exists("sys/firmware/efi"):
		s.Fact("hw/firmware", "uefi")
		secureBoot(h, s)
	case h.Exists("sys/class/dmi/id/bios_vendor"):
		s.Fact("hw/firmware", "bios")
	}
	const tpm = "sys/class/tpm/tpm0"
	switch version := h.Line(s, tpm+"/tpm_version_major"); {
	case version != "":
		s.Fact("hw/tpm", version)
	case h.Exists(tpm + "/device/caps"): // kernels before 5.6
		s.Fact("hw/tpm", tpmCaps(h, s, tpm+"/device/caps"))
	}
	return nil
}

// secureBoot reads the EFI variable: four bytes of attributes, then 0 or 1 (UEFI
// Specification 3.3). Reading it is one call to the firmware.
func secureBoot(h Host, s *Sink) {
	const name = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	b, err := h.ReadHead(name, 5)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Denied(name)
	case err == nil && len(b) == 5:
		s.Fact("hw/secureboot", map[byte]string{0: "off", 1: "on"}[b[4]])
	}
}

// tpmCaps finds "TCG version: 1.2" in the text that old drivers give.
func tpmCaps(h Host, s *Sink, name string) string {
	b, err := h.ReadFile(name, maxLine)
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "TCG version: "); ok {
			return v
		}
	}
	return ""
}
