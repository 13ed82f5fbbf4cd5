package sim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"rollcall/internal/fact"
)

// digits turns a draw into n characters of an alphabet.
func digits(d uint64, n int, alphabet string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[pick(draw(d, uint64(i)), len(alphabet))]
	}
	return string(b)
}

const (
	capitals = "0123456789BCDFGHJKLMNPQRSTVWXYZ"
	hexes    = "0123456789abcdef"
)

// machine gives the numbers of the model that a machine is, and of the variant.
func (f *Fleet) machine(m Member) (model, variant int) {
	switch m.Profile {
	case MainServer, LTSPServer:
		model = f.model(f.draw(m.Number, "model"), "Server")
	case Roaming:
		model = m.school.models[2]
	default:
		model = m.school.models[pick(f.draw(m.Number, "model"), 2)]
	}
	return model, pick(f.draw(m.Number, "variant"), len(f.data.models[model].Variants))
}

// cards are network cards of PCs as lspci and the kernel name them; a model has
// one of them.
var cards = [...]struct{ id, driver, speed string }{
	{"8086:1502 class=0200 rev=04", "e1000e", "1000"},
	{"8086:153a class=0200 rev=04", "e1000e", "1000"},
	{"8086:15b7 class=0200 rev=31", "e1000e", "1000"},
	{"10ec:8168 class=0200 rev=15", "r8169", "1000"},
	{"14e4:1682 class=0200 rev=01", "tg3", "1000"},
}

func (c *catalogue) card(model int) int {
	return pick(draw(word(c.models[model].Vendor+" "+c.models[model].Model)), len(cards))
}

// real drops what firmware says where it knows nothing, as the agent does.
func real(s string) string {
	switch s {
	case "Not Specified", "Not Available", "To Be Filled By O.E.M.", "Default string", "System Product Name":
		return ""
	}
	return s
}

// hardware is section hw: the model's, with the serial numbers of this machine.
func (f *Fleet) hardware(m Member, s state) Section {
	md, vn := f.machine(m)
	v := &f.data.models[md].Variants[vn]
	base := f.bases.get(baseKey{section: "hw", a: md, b: vn}, func() []fact.Fact { return modelFacts(v, f.data.card(md)) })
	sec := Section{Name: "hw", Base: base}
	disk := f.draw(m.Number, "disk")
	if s.parts%2 == 1 { // every other part that was replaced is the disk
		disk = f.draw(m.Number, "disk", uint64(s.parts))
	}
	sec.Put = []fact.Fact{
		{Path: "hw/disk/sda/part/sda1", Value: "size=255999344640 type=LVM2_member uuid=" + uuid(draw(disk, 1))},
		{Path: "hw/disk/sda/serial", Value: "S4" + digits(disk, 12, capitals)},
		{Path: "hw/disk/sda/wwn", Value: "0x5002538" + digits(draw(disk, 2), 9, hexes)},
	}
	for i := range v.Mem {
		d := f.draw(m.Number, "dimm", uint64(i))
		if i == 0 && s.parts > 1 { // … and the others are the first memory module
			d = draw(d, uint64(s.parts/2))
		}
		sec.Put = append(sec.Put, fact.Fact{Path: fmt.Sprintf("hw/dimm/DIMM%d/serial", i+1), Value: strings.ToUpper(digits(d, 8, hexes))})
	}
	sec.Put = fact.NewSet(sec.Put)
	return sec
}

// modelFacts are the facts of a real machine's DMI, with disk and firmware that
// its kind has.
func modelFacts(v *variant, card int) []fact.Fact {
	var facts []fact.Fact
	put := func(path, value string) {
		if value = real(value); value != "" {
			facts = append(facts, fact.Fact{Path: path, Value: value})
		}
	}
	put("hw/system/vendor", v.Sys.Vendor)
	put("hw/system/product", v.Sys.Product)
	put("hw/system/version", v.Sys.Version)
	put("hw/system/sku", v.Sys.SKU)
	put("hw/system/family", v.Sys.Family)
	put("hw/board/vendor", v.Board.Vendor)
	put("hw/board/product", v.Board.Name)
	put("hw/board/version", v.Board.Version)
	put("hw/bios/vendor", v.BIOS.Vendor)
	put("hw/bios/version", v.BIOS.Version)
	put("hw/bios/date", v.BIOS.Date)
	put("hw/chassis/vendor", v.Chassis.Vendor)
	put("hw/chassis/type", strings.ToLower(v.Chassis.Type))
	if len(v.CPU) > 0 {
		put("hw/cpu/model", v.CPU[0].Name)
		put("hw/cpu/vendor", map[bool]string{true: "GenuineIntel", false: "AuthenticAMD"}[strings.Contains(v.CPU[0].Name, "Intel")])
		put("hw/cpu/cores", times(v.CPU[0].Cores, len(v.CPU)))
		put("hw/cpu/threads", times(v.CPU[0].Threads, len(v.CPU)))
		put("hw/cpu/sockets", strconv.Itoa(len(v.CPU)))
	}
	var installed uint64
	for i, d := range v.Mem {
		if len(d) < 4 {
			continue
		}
		at := fmt.Sprintf("hw/dimm/DIMM%d/", i+1)
		size := bytesOf(d[0])
		installed += size
		put(at+"size", strconv.FormatUint(size, 10))
		put(at+"type", d[1])
		put(at+"speed", strings.TrimSuffix(d[2], " MT/s"))
		put(at+"vendor", d[3])
	}
	if installed > 0 {
		put("hw/memory/installed", strconv.FormatUint(installed, 10))
		put("hw/memory/total", strconv.FormatUint(installed-installed/32, 10))
	}
	put("hw/firmware", "uefi")
	put("hw/secureboot", "off")
	put("hw/disk/sda/model", "Samsung SSD 860 EVO 250GB")
	put("hw/disk/sda/rotational", "no")
	put("hw/disk/sda/size", "256060514304")
	put("hw/pci/0000:00:02.0", "8086:0152 class=0300 rev=09")
	put("hw/pci/0000:00:19.0", cards[card].id)
	put("hw/pcidriver/0000:00:02.0", "i915")
	put("hw/pcidriver/0000:00:19.0", cards[card].driver)
	return facts
}

func times(s string, n int) string {
	if k, err := strconv.Atoi(s); err == nil {
		return strconv.Itoa(k * n)
	}
	return ""
}

// bytesOf reads "4 GB" as dmidecode prints it.
func bytesOf(s string) uint64 {
	number, unit, _ := strings.Cut(s, " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0
	}
	return n << map[string]int{"kB": 10, "MB": 20, "GB": 30, "TB": 40}[unit]
}

// makers are the names that vendors of machines have in the list of MAC prefixes.
var makers = map[string]string{
	"Dell": "Dell", "Hewlett-Packard": "HP", "Lenovo": "LCFC (Lenovo OEM)", "Fujitsu": "FUJITSU", "Acer": "Acer", "ASUSTek Computer": "ASUSTek",
}

// mac is the address of a machine's first network card.
func (f *Fleet) mac(m Member) string {
	md, _ := f.machine(m)
	prefixes := f.data.oui[makers[f.data.models[md].Vendor]]
	if len(prefixes) == 0 {
		prefixes = f.data.oui["Intel (NIC/WLAN)"]
	}
	d := digits(f.draw(m.Number, "mac"), 1, hexes) // spread over the prefixes by the number, so that none comes twice
	n := uint32(m.Number)*0x9e3779b1>>8 ^ uint32(d[0])<<16
	b := binary.BigEndian.AppendUint32(nil, n)
	return fmt.Sprintf("%s:%02x:%02x:%02x", prefixes[pick(f.draw(m.Number, "oui"), len(prefixes))], b[1], b[2], b[3])
}

// network is section net.
func (f *Fleet) network(m Member) Section {
	md, _ := f.machine(m)
	card := f.data.card(md)
	base := f.bases.get(baseKey{section: "net", a: card}, func() []fact.Fact {
		return []fact.Fact{
			{Path: "net/dns/1", Value: "10.0.2.2"},
			{Path: "net/search", Value: "intern"},
			{Path: "net/route/default", Value: "10.0.0.1 dev eno1"},
			{Path: "net/eno1/device", Value: "pci 0000:00:19.0"},
			{Path: "net/eno1/driver", Value: "e1000e"},
			{Path: "net/eno1/kind", Value: "ethernet"},
			{Path: "net/eno1/mtu", Value: "1500"},
			{Path: "net/eno1/speed", Value: cards[card].speed},
		}
	})
	mac := f.mac(m)
	return Section{Name: "net", Base: base, Put: []fact.Fact{{Path: "net/eno1/mac", Value: mac}, {Path: "net/eno1/permanent", Value: mac}}}
}

// identification is section id.
func (f *Fleet) identification(m Member, s state) Section {
	base := f.bases.get(baseKey{section: "id", profile: m.Profile}, func() []fact.Fact {
		edu := [profiles]string{"Main-Server", "LTSP-Server", "Workstation", "Roaming-Workstation", "LTSP-Client"}[m.Profile]
		boot := "disk"
		if m.Profile == Thin {
			boot = "network"
		}
		return []fact.Fact{
			{Path: "id/boot", Value: boot},
			{Path: "id/class", Value: m.Profile.Class()},
			{Path: "id/domain", Value: "intern"},
			{Path: "id/edu/profile", Value: edu},
			{Path: "id/edu/version", Value: "12+edu"},
			{Path: "id/virtual", Value: "none"},
		}
	})
	serial := digits(f.draw(m.Number, "serial"), 7, capitals)
	return Section{Name: "id", Base: base, Put: fact.NewSet([]fact.Fact{
		{Path: "id/hostname", Value: m.Name},
		{Path: "id/machine-id", Value: f.machineID(m, s)},
		{Path: "id/serial/board", Value: "/" + serial + "/" + digits(f.draw(m.Number, "board"), 12, capitals) + "/"},
		{Path: "id/serial/product", Value: serial},
		{Path: "id/site/site", Value: f.site(m, s.moves)},
		{Path: "id/uuid", Value: uuid(f.draw(m.Number, "uuid"))},
	})}
}

// machineID is made anew when the machine is installed anew; those that boot from
// the network have the one that LTSP makes from their MAC.
func (f *Fleet) machineID(m Member, s state) string {
	if m.Profile == Thin {
		return strings.ReplaceAll(f.mac(m), ":", "") + strings.Repeat("0", 20)
	}
	return digits(f.draw(m.Number, "machine-id", uint64(s.installs)), 32, hexes)
}

// loaded are modules that the kernel of a PC has loaded, beside those of its card.
const loaded = "ac97_bus aesni_intel ahci autofs4 binfmt_misc btrfs cec coretemp crc32_pclmul crypto_simd dell_wmi dm_mod drm drm_kms_helper ehci_hcd ehci_pci " +
	"evdev ext4 fuse ghash_clmulni_intel hid hid_generic i2c_i801 i915 intel_powerclamp intel_rapl_msr irqbypass iTCO_wdt jbd2 joydev kvm kvm_intel libata " +
	"libcrc32c lockd lpc_ich mbcache mei mei_me mxm_wmi nfs nfs_acl nfsv4 parport parport_pc pcspkr ppdev rapl rpcsec_gss_krb5 scsi_mod sd_mod snd snd_hda_codec " +
	"snd_hda_codec_hdmi snd_hda_codec_realtek snd_hda_core snd_hda_intel snd_hwdep snd_pcm snd_timer soundcore sunrpc t10_pi ttm usbcore usbhid video wmi " +
	"x86_pkg_temp_thermal x_tables xhci_hcd xhci_pci"

// modules is section module.
func (f *Fleet) modules(m Member) Section {
	md, _ := f.machine(m)
	card := f.data.card(md)
	base := f.bases.get(baseKey{section: "module", a: card}, func() (facts []fact.Fact) {
		for name := range strings.FieldsSeq(loaded + " " + cards[card].driver) {
			facts = append(facts, fact.Fact{Path: "module/" + name, Value: "loaded"})
		}
		return facts
	})
	return Section{Name: "module", Base: base}
}

// hostKeys is section ssh: fingerprints of the keys that an installation made.
func (f *Fleet) hostKeys(m Member, s state) Section {
	sec := Section{Name: "ssh", Base: f.bases.get(baseKey{section: "ssh"}, func() []fact.Fact { return nil })}
	for _, kind := range []string{"ecdsa-sha2-nistp256", "ssh-ed25519", "ssh-rsa"} {
		sum := sha256.Sum256([]byte(f.hostKey(m, s, kind)))
		sec.Put = append(sec.Put, fact.Fact{Path: "ssh/hostkey/" + kind, Value: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])})
	}
	return sec
}

// hostKey stands for a public key.
func (f *Fleet) hostKey(m Member, s state, kind string) string {
	number := uint64(m.Number)
	if m.Profile == Thin {
		number = word(m.School) // of the image
	}
	d := draw(f.seed, word("hostkey"), number, word(kind), uint64(s.installs))
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, d))
}

// volumes is section fs.
func (f *Fleet) volumes(m Member) Section {
	base := f.bases.get(baseKey{section: "fs", profile: m.Profile}, func() []fact.Fact {
		if m.Profile == Thin {
			return []fact.Fact{{Path: "fs/mount/%2F", Value: "overlay overlay rw"}}
		}
		return []fact.Fact{
			{Path: "fs/fstab/%2F", Value: "/dev/mapper/vg_system-root ext4 errors=remount-ro"},
			{Path: "fs/mount/%2F", Value: "/dev/mapper/vg_system-root ext4 errors=remount-ro,relatime,rw"},
			{Path: "fs/size/%2F", Value: "31526391808"},
			{Path: "fs/usage/%2F", Value: "40"},
			{Path: "fs/swap/%2Fdev%2Fmapper%2Fvg_system-swap", Value: "partition 4294967296"},
			{Path: "fs/mount/%2Fskole%2Ftjener%2Fhome0", Value: "tjener:/skole/tjener/home0 nfs rw,vers=4.2"},
		}
	})
	return Section{Name: "fs", Base: base}
}

func uuid(d uint64) string {
	h := digits(d, 32, hexes)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
