package sitesummary

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// cpuinfo reads the first processor and counts the others.
func (s *sheet) cpuinfo(b []byte) {
	one := map[string]string{}
	threads := 0
	sockets, cores := map[string]bool{}, map[string]bool{}
	socket := ""
	for line := range lines(b) {
		key, v, ok := strings.Cut(line, ":")
		if key, v = strings.TrimSpace(key), strings.TrimSpace(v); !ok {
			continue
		}
		switch key {
		case "processor":
			threads++
		case "physical id":
			socket = v
			sockets[v] = true
		case "core id":
			cores[socket+":"+v] = true
		}
		if _, known := one[key]; !known && threads <= 1 && len(one) < 100 {
			one[key] = v
		}
	}
	pick := func(keys ...string) string {
		for _, k := range keys {
			if one[k] != "" {
				return one[k]
			}
		}
		return ""
	}
	s.put(strings.Join(strings.Fields(pick("model name", "cpu model", "cpu", "Processor")), " "), "hw", "cpu", "model")
	s.put(pick("vendor_id", "CPU implementer"), "hw", "cpu", "vendor")
	s.put(pick("cpu family", "CPU architecture"), "hw", "cpu", "family")
	s.put(pick("stepping", "CPU revision"), "hw", "cpu", "stepping")
	s.put(pick("model", "CPU part"), "hw", "cpu", "part")
	s.put(pick("microcode"), "hw", "cpu", "microcode")
	s.number(threads, "hw", "cpu", "threads")
	s.number(len(cores), "hw", "cpu", "cores")
	s.number(len(sockets), "hw", "cpu", "sockets")
}

// meminfo reads what the kernel has of the memory, in bytes.
func (s *sheet) meminfo(b []byte) {
	for line := range lines(b) {
		v, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 52)
		if err == nil && kib > 0 {
			s.put(strconv.FormatUint(kib<<10, 10), memoryTotal)
		}
		return
	}
}

// lspci reads "lspci -n": "00:1f.6 0200: 8086:15d7 (rev 21)".
func (s *sheet) lspci(b []byte) {
	for line := range lines(b) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) != 5 || !ids(f[2]) {
			continue
		}
		address := f[0]
		if strings.Count(address, ":") == 1 {
			address = "0000:" + address
		}
		v := strings.ToLower(f[2]) + " class=" + strings.TrimSuffix(f[1], ":")
		if rev, ok := strings.CutPrefix(strings.Join(f[3:], " "), "(rev "); ok {
			rev, _, _ = strings.Cut(rev, ")")
			v += " rev=" + rev
		}
		s.put(v, "hw", "pci", address)
	}
}

// ids tells whether s is VENDOR:DEVICE, each four hexadecimal digits.
func ids(s string) bool {
	return len(s) == 9 && s[4] == ':' && strings.Trim(s[:4]+s[5:], "0123456789abcdefABCDEF") == ""
}

// lsusb counts devices of a kind: "Bus 001 Device 004: ID 046d:c31c Logitech, Inc.
// Keyboard K120". Root hubs are part of their controller.
func (s *sheet) lsusb(b []byte) {
	count, text := map[string]int{}, map[string]string{}
	for line := range lines(b) {
		_, rest, ok := strings.Cut(line, ": ID ")
		id, name, _ := strings.Cut(rest, " ")
		if id = strings.ToLower(id); ok && ids(id) && !strings.HasPrefix(id, "1d6b:") {
			count[id]++
			text[id] = genuine(name)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(count)) {
		s.put(strings.TrimSpace("count="+strconv.Itoa(count[id])+" "+text[id]), "hw", "usb", id)
	}
}

// maxModules bounds the kernel modules that are taken.
const maxModules = 500

func (s *sheet) lsmod(b []byte) {
	n := 0
	for line := range lines(b) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] == "Module" {
			continue
		}
		if n++; n > maxModules {
			return
		}
		s.put("loaded", "module", f[0])
	}
}

// hdparm reads "hdparm -I" of several disks, each after a line "/dev/sda:".
func (s *sheet) hdparm(b []byte) {
	disk := ""
	var sectors, size uint64
	end := func() {
		if disk != "" && sectors > 0 && sectors < 1<<50 {
			s.put(strconv.FormatUint(sectors*max(size, 512), 10), "hw", "disk", disk, "size")
		}
		disk, sectors, size = "", 0, 512
	}
	for line := range lines(b) {
		if dev, ok := strings.CutPrefix(line, "/dev/"); ok && strings.HasSuffix(dev, ":") {
			end()
			disk = strings.TrimSuffix(dev, ":")
			continue
		}
		key, v, ok := strings.Cut(strings.TrimSpace(line), ":")
		if v = strings.TrimSpace(v); !ok || disk == "" {
			continue
		}
		switch key {
		case "Model Number":
			s.put(genuine(v), "hw", "disk", disk, "model")
		case "Serial Number":
			s.put(genuine(v), "hw", "disk", disk, "serial")
		case "Firmware Revision":
			s.put(genuine(v), "hw", "disk", disk, "firmware")
		case "LBA48  user addressable sectors":
			sectors = decimal(v)
		case "Logical  Sector size", "Logical/Physical Sector size":
			v, _, _ = strings.Cut(v, " ")
			size = min(decimal(v), 64<<10)
		}
	}
	end()
}

func decimal(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// hostKeys gives the fingerprints of ssh's host keys as ssh-keygen(1) -l prints them.
func (s *sheet) hostKeys() {
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if !strings.HasPrefix(name, "system/ssh_host_") || !strings.HasSuffix(name, ".pub") {
			continue
		}
		words := strings.Fields(first(s.files[name]))
		if len(words) < 2 {
			continue
		}
		blob, err := base64.StdEncoding.DecodeString(words[1])
		if err != nil || len(blob) < 4 {
			continue
		}
		// The type stands again inside of the key (RFC 4253 section 6.6).
		n := binary.BigEndian.Uint32(blob)
		if uint64(n) > uint64(len(blob)-4) || string(blob[4:4+n]) != words[0] {
			continue
		}
		sum := sha256.Sum256(blob)
		s.put("SHA256:"+base64.RawStdEncoding.EncodeToString(sum[:]), "ssh", "hostkey", words[0])
	}
}
