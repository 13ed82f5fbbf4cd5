package collect

import (
	"bytes"
	"context"
	"errors"
	"path"
	"strings"
)

func flatpaks() Collector {
	return Collector{Name: "flatpak", Owns: []string{"app/flatpak/"}, Collect: collectFlatpaks}
}

// maxApps bounds the programs of one kind that do not come from dpkg.
const maxApps = 2000

// collectFlatpaks lists the applications and runtimes that Flatpak has installed
// for everybody; what people installed for themselves lies in their homes. The
// version is what the maker calls it, the commit tells what it is.
func collectFlatpaks(ctx context.Context, h Host, s *Sink) error {
	const top = "var/lib/flatpak/"
	found := 0
	for _, kind := range []string{"app", "runtime"} {
		ids, err := h.Entries(s, top+kind)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				return err
			}
			deployed, err := branches(h, s, top+kind+"/"+id)
			if err != nil {
				return err
			}
			for _, dir := range deployed {
				if found++; found > maxApps {
					return errors.New("more applications of Flatpak than expected: the rest is left out")
				}
				put := func(what, value string) { s.Fact(Path("app", "flatpak", id, path.Base(dir), what), value) }
				commit := h.Link(dir + "/active")
				put("commit", commit[:min(len(commit), 12)])
				// A folder "active" instead of the link is what old versions made.
				if b, err := h.ReadHead(dir+"/active/deploy", 64<<10); err == nil {
					put("version", deployedVersion(b))
				}
			}
		}
	}
	return s.Found(found > 0)
}

// branches gives the folders ARCH/BRANCH of an application in which something is
// deployed.
func branches(h Host, s *Sink, dir string) ([]string, error) {
	var found []string
	archs, err := h.Entries(s, dir)
	for _, arch := range archs {
		if arch == "current" || err != nil { // a link to one of the others
			continue
		}
		var names []string
		names, err = h.Entries(s, dir+"/"+arch)
		for _, name := range names {
			if deployed := dir + "/" + arch + "/" + name; h.Exists(deployed + "/active") {
				found = append(found, deployed)
			}
		}
	}
	return found, err
}

// deployedVersion finds the entry "appdata-version" in Flatpak's record of a
// deployment, a GVariant: the key ends with a zero byte, the string value follows
// at the next multiple of eight and ends with a zero byte and its type "s".
func deployedVersion(b []byte) string {
	_, rest, ok := bytes.Cut(b, []byte("appdata-version\x00"))
	if !ok {
		return ""
	}
	value, rest, ok := bytes.Cut(bytes.TrimLeft(rest, "\x00"), []byte{0})
	if !ok || len(value) > 100 || !bytes.HasPrefix(bytes.TrimLeft(rest, "\x00"), []byte("s")) {
		return ""
	}
	return strings.ToValidUTF8(string(value), "")
}
