package compare_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rollcall/internal/fact"
)

// tree reads the facts of a recorded machine tree, a plain stand-in for the
// agent's collectors, and keeps the contents of its config files.
type tree struct {
	root     string
	facts    []fact.Fact
	contents map[fact.Digest][]byte
	users    map[string]string
	groups   map[string]string
}

func readTree(t *testing.T, root string, contents map[fact.Digest][]byte) map[string]fact.Set {
	t.Helper()
	r := &tree{root: root, contents: contents}
	r.users, r.groups = r.names("etc/passwd"), r.names("etc/group")
	r.identity()
	r.packages()
	r.etc(t)
	r.hardware()
	return fact.Split(r.facts)
}

func (r *tree) add(path, value string) {
	r.facts = append(r.facts, fact.Fact{Path: path, Value: fact.Value(value)})
}

func (r *tree) text(name string) string {
	b, err := os.ReadFile(filepath.Join(r.root, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (r *tree) names(file string) map[string]string {
	out := map[string]string{}
	for line := range strings.SplitSeq(r.text(file), "\n") {
		if f := strings.Split(line, ":"); len(f) > 2 {
			out[f[2]] = f[0]
		}
	}
	return out
}

func (r *tree) identity() {
	r.add("id/hostname", r.text("etc/hostname"))
	r.add("id/machine-id", r.text("etc/machine-id"))
	r.add("os/kernel", r.text("proc/sys/kernel/osrelease"))
	for line := range strings.SplitSeq(r.text("proc/modules"), "\n") {
		if name, _, ok := strings.Cut(line, " "); ok {
			r.add("module/"+name, "loaded")
		}
	}
}

func (r *tree) packages() {
	for stanza := range strings.SplitSeq(r.text("var/lib/dpkg/status"), "\n\n") {
		p := map[string]string{}
		for line := range strings.SplitSeq(stanza, "\n") {
			if key, value, ok := strings.Cut(line, ":"); ok && line[0] != ' ' {
				p[key] = strings.TrimSpace(value)
			}
		}
		r.deb(p)
	}
}

func (r *tree) deb(p map[string]string) {
	name := p["Package"]
	if a := p["Architecture"]; a != "amd64" && a != "all" && a != "" {
		name += ":" + a
	}
	base := "pkg/" + name + "/"
	if p["Status"] != "install ok installed" {
		r.add(base+"state", p["Status"])
	}
	if strings.HasSuffix(p["Status"], " config-files") || strings.HasSuffix(p["Status"], " not-installed") {
		return
	}
	r.add(base+"version", p["Version"])
	if source, _, _ := strings.Cut(p["Source"], " "); source != "" && source != p["Package"] {
		r.add(base+"source", source)
	}
	if version, ok := strings.CutPrefix(p["Package"], "linux-image-"); ok && version[0] >= '0' && version[0] <= '9' {
		r.add("os/kernels/"+version, "installed")
	}
}

func (r *tree) etc(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(r.root, "etc"), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(r.root, name)
		info, err := d.Info()
		if err != nil || rel == "etc" {
			return err
		}
		r.add(fact.Escape(rel), r.file(name, rel, info).String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *tree) file(name, rel string, info fs.FileInfo) fact.File {
	st := info.Sys().(*syscall.Stat_t)
	named := func(names map[string]string, id uint32) string {
		n := strconv.FormatUint(uint64(id), 10)
		if names[n] != "" {
			return names[n]
		}
		return n
	}
	f := fact.File{Mode: fact.FileMode(st.Mode & 0o7777), Owner: named(r.users, st.Uid), Group: named(r.groups, st.Gid)}
	switch {
	case info.IsDir():
		f.Kind = fact.KindDir
	case info.Mode()&fs.ModeSymlink != 0:
		f.Kind = fact.KindLink
		f.Target, _ = os.Readlink(name)
	default:
		b, _ := os.ReadFile(name)
		f.Digest = sha256.Sum256(b)
		f.Kind = fact.KindPlain
		if secret(rel, string(b)) {
			f.Kind, f.Fingerprint, f.Digest = fact.KindKeyed, hex.EncodeToString(f.Digest[:8]), fact.Digest{}
			break
		}
		r.contents[f.Digest] = b
	}
	return f
}

// secret tells of files that an agent would not send in clear.
func secret(rel, content string) bool {
	switch rel {
	case "etc/shadow", "etc/gshadow", "etc/shadow-", "etc/gshadow-":
		return true
	}
	return strings.Contains(content, "PRIVATE KEY-----")
}

func (r *tree) hardware() {
	dmi := "sys/devices/virtual/dmi/id/"
	for file, path := range map[string]string{
		"sys_vendor": "system/vendor", "product_name": "system/product", "product_version": "system/version", "product_family": "system/family",
		"product_sku": "system/sku", "board_vendor": "board/vendor", "board_name": "board/product", "bios_vendor": "bios/vendor",
		"bios_version": "bios/version", "bios_date": "bios/date", "chassis_type": "chassis/type",
	} {
		if v := r.text(dmi + file); v != "" {
			r.add("hw/"+path, v)
		}
	}
	if v := r.text(dmi + "product_serial"); v != "" {
		r.add("id/serial/product", v)
	}
	for line := range strings.SplitSeq(r.text("proc/cpuinfo"), "\n") {
		if model, ok := strings.CutPrefix(line, "model name\t: "); ok {
			r.add("hw/cpu/model", model)
		}
	}
	devices, _ := filepath.Glob(filepath.Join(r.root, "sys/devices/pci*/*:*"))
	for _, d := range devices {
		r.device(d)
	}
}

func (r *tree) device(d string) {
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(d, name))
		return strings.TrimPrefix(strings.TrimSpace(string(b)), "0x")
	}
	addr := filepath.Base(d)
	r.add("hw/pci/"+addr, read("vendor")+":"+read("device")+" class="+read("class")+" rev="+read("revision"))
	driver, err := os.Readlink(filepath.Join(d, "driver"))
	if err == nil {
		r.add("hw/pcidriver/"+addr, filepath.Base(driver))
	}
	nets, _ := filepath.Glob(filepath.Join(d, "net/*"))
	for _, n := range nets {
		base := "net/" + filepath.Base(n) + "/"
		mac, _ := os.ReadFile(filepath.Join(n, "address"))
		r.add(base+"mac", strings.TrimSpace(string(mac)))
		r.add(base+"driver", filepath.Base(driver))
	}
}
