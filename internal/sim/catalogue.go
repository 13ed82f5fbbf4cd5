package sim

import (
	"bytes"
	"embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The real data; data/README.md tells where each file is from.
//
//go:embed data/*.zst
var data embed.FS

// catalogue is the real data, read once and shared by all fleets.
type catalogue struct {
	packages []debPackage
	profiles map[string][]int // rows of packages
	timeline map[string][]step
	etc      map[string][]string // files that a package ships
	recorded map[string][]recordedFact
	models   []model
	oui      map[string][]string
	layout   layout
	extras   []int // rows that a school or a machine may have beyond its profile
	files    [profiles][]etcFile
}

// debPackage is a Debian package with the paths of its facts, which all machines
// share.
type debPackage struct {
	name, source string
	version      string // bookworm's at the end of the data
	follows      bool   // its version moves with the source's, and is that between
	head, tail   string // these two
	versionPath  string
	sourcePath   string
	upgradePath  string
	autoPath     string
}

// step is a version of a source from a day on.
type step struct {
	day      Day
	version  string
	security bool
}

// recordedFact is a line of data/recorded.tsv.
type recordedFact struct{ path, value string }

// layout is what sites.json says.
type layout struct {
	Sizes       []int                `json:"school_sizes"`
	Mix         []map[string]float64 `json:"client_mix"`
	Policies    map[string]float64   `json:"update_policy"`
	FrozenAt    string               `json:"frozen_at"`
	PoweredOff  float64              `json:"powered_off_share"`
	SiteExtras  float64              `json:"site_extra_packages_mean"`
	OwnExtras   float64              `json:"host_extra_packages_mean"`
	EditedFiles float64              `json:"etc_drift_mean"`
}

// model is one model of machine in hw.json.
type model struct {
	Class, Vendor, Model string
	Count                float64
	Variants             []variant
}

// variant is the DMI of one real machine.
type variant struct {
	BIOS    struct{ Vendor, Version, Date string }
	Sys     struct{ Vendor, Product, Version, SKU, Family string }
	Board   struct{ Vendor, Name, Version string }
	Chassis struct{ Vendor, Type string }
	CPU     []struct{ Name, Cores, Threads string }
	Mem     [][]string // size, type, speed, vendor
}

var theCatalogue = sync.OnceValues(readCatalogue)

func readCatalogue() (*catalogue, error) {
	c := &catalogue{
		timeline: map[string][]step{}, etc: map[string][]string{}, recorded: map[string][]recordedFact{}, oui: map[string][]string{},
	}
	profiles := struct{ Profiles map[string][]int }{}
	models := struct{ Models []model }{}
	for _, read := range []func() error{
		func() error { return readJSON("profiles.json", &profiles) },
		func() error { return readJSON("hw.json", &models) },
		func() error { return readJSON("sites.json", &c.layout) },
		c.readTimeline, c.readPackages, c.readEtc, c.readOUI, c.readRecorded,
	} {
		if err := read(); err != nil {
			return nil, fmt.Errorf("simulator's data: %w", err)
		}
	}
	c.profiles, c.models = profiles.Profiles, models.Models
	c.findExtras()
	for p := range c.files {
		c.files[p] = c.etcFiles(Profile(p))
	}
	return c, nil
}

func readFile(name string) ([]byte, error) {
	b, err := data.ReadFile("data/" + name + ".zst")
	if err != nil {
		return nil, err
	}
	return inflate(b)
}

func inflate(b []byte) ([]byte, error) {
	z, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return z.DecodeAll(b, nil)
}

func readJSON(name string, into any) error {
	b, err := readFile(name)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readCSV calls row for each line below the header.
func readCSV(name string, row func([]string) error) error {
	b, err := readFile(name)
	if err != nil {
		return err
	}
	r := csv.NewReader(bytes.NewReader(b))
	for n := 0; ; n++ {
		f, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err == nil && n > 0 {
			err = row(f)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (c *catalogue) readTimeline() error {
	err := readCSV("timeline.csv", func(f []string) error {
		if f[4] == "" {
			return nil // no machine has seen it
		}
		day, err := ParseDay(f[4])
		c.timeline[f[0]] = append(c.timeline[f[0]], step{day: day, version: f[2], security: strings.HasSuffix(f[3], "-security")})
		return err
	})
	for _, steps := range c.timeline {
		slices.SortStableFunc(steps, func(a, b step) int {
			if a.day != b.day {
				return int(a.day) - int(b.day)
			}
			return strings.Compare(a.version, b.version)
		})
	}
	return err
}

func (c *catalogue) readPackages() error {
	return readCSV("packages.csv", func(f []string) error {
		p := debPackage{name: f[0], source: f[1], version: f[8]}
		if p.version == "" {
			p.version = f[7]
		}
		if steps := c.timeline[p.source]; len(steps) > 0 {
			p.follow(steps[len(steps)-1].version)
		}
		p.versionPath, p.sourcePath = "pkg/"+p.name+"/version", "pkg/"+p.name+"/source"
		p.upgradePath, p.autoPath = "apt/upgrade/"+p.name, "apt/auto/"+p.name
		c.packages = append(c.packages, p)
		return nil
	})
}

// follow finds out how the package's version is made from its source's: mostly it
// is the same, some have another epoch or a version of their own in front, and one
// that was built again has a "+b1" behind, which those before it had not.
func (p *debPackage) follow(newest string) {
	p.follows = true
	_, upstream, ok := strings.Cut(newest, ":")
	if !ok {
		upstream = newest
	}
	if head, tail, found := strings.Cut(p.version, upstream); found && p.version != newest {
		p.head, p.tail = head, tail
		if strings.HasPrefix(tail, "+b") {
			p.tail = ""
		}
	}
}

func (c *catalogue) readEtc() error {
	return readCSV("etcfiles.csv", func(f []string) error {
		c.etc[f[0]] = append(c.etc[f[0]], f[1])
		return nil
	})
}

func (c *catalogue) readOUI() error {
	return readCSV("oui.csv", func(f []string) error {
		c.oui[f[0]] = append(c.oui[f[0]], f[1])
		return nil
	})
}

func (c *catalogue) readRecorded() error {
	b, err := readFile("recorded.tsv")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			return fmt.Errorf("recorded.tsv: line of %s fields", strconv.Itoa(len(f)))
		}
		c.recorded[f[0]] = append(c.recorded[f[0]], recordedFact{f[1], f[2]})
	}
	return nil
}

// findExtras lists what people install beside a profile: programs, no libraries.
func (c *catalogue) findExtras() {
	main := map[int]bool{}
	for _, row := range c.profiles["mainserver"] {
		main[row] = true
	}
	for row, p := range c.packages {
		if !main[row] && !strings.HasPrefix(p.name, "lib") && p.version != "" {
			c.extras = append(c.extras, row)
		}
	}
}

// versionAt gives the version of a package that a machine has which was brought
// up to date on a day.
func (c *catalogue) versionAt(row int, day Day) string {
	p := &c.packages[row]
	if !p.follows {
		return p.version
	}
	version := c.stepAt(p.source, day).version
	if p.head == "" && p.tail == "" {
		return version
	}
	if _, upstream, ok := strings.Cut(version, ":"); ok {
		version = upstream
	}
	return p.head + version + p.tail // rare
}

// stepAt gives the newest version of a source on a day, or its first.
func (c *catalogue) stepAt(source string, day Day) step {
	steps := c.timeline[source]
	i, _ := slices.BinarySearchFunc(steps, day+1, func(s step, d Day) int { return int(s.day) - int(d) })
	return steps[max(0, i-1)]
}
