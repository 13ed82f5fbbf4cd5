package collect

import (
	"context"
	"io/fs"
	"strings"
)

func snaps() Collector {
	return Collector{Name: "snap", Owns: []string{"app/snap/"}, Collect: collectSnaps}
}

// collectSnaps lists the snaps by their images and the link to the one in use.
// snapd is not asked: that would start it.
func collectSnaps(_ context.Context, h Host, s *Sink) error {
	names, err := h.Names("var/lib/snapd/snaps")
	if err != nil {
		return err
	}
	images := map[string]bool{}
	for _, file := range names {
		image, ok := strings.CutSuffix(file, ".snap")
		i := strings.LastIndexByte(image, '_')
		if !ok || i <= 0 || len(images) == maxApps {
			continue
		}
		images[image[:i]] = true
	}
	if len(images) == 0 {
		return fs.ErrNotExist
	}
	for name := range images {
		revision := h.Link("snap/" + name + "/current")
		if revision == "" {
			s.Fact(Path("app", "snap", name, "state"), "disabled")
			continue
		}
		s.Fact(Path("app", "snap", name, "revision"), revision)
		b, err := h.Content(s, "snap/"+name+"/"+revision+"/meta/snap.yaml", 256<<10)
		if err != nil {
			return err
		}
		s.Fact(Path("app", "snap", name, "version"), yamlValue(string(b), "version"))
	}
	return nil
}

// yamlValue gives a plain or quoted value of the outermost level.
func yamlValue(text, key string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			value = strings.TrimSpace(value)
			if len(value) > 1 && (value[0] == '\'' || value[0] == '"') && value[len(value)-1] == value[0] {
				value = value[1 : len(value)-1]
			}
			return value
		}
	}
	return ""
}
