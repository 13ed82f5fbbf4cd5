package report

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fact"
)

// eachKey makes a line of each key that waits for admission.
func eachKey(r *run, each func(*line) error) error {
	keys, err := r.src.Keys()
	if err != nil {
		return err
	}
	for _, k := range keys {
		l := &line{made: map[string]string{
			"key": k.ID[:min(len(k.ID), 8)], "hostname": fact.Value(k.Hostname), "class": k.Class, "site": k.Site, "source": k.Source,
			"token": fact.Value(k.TokenTag), "trust": k.TrustClass(), "time": timeCell(k.Asked), "reason": fact.Value(k.Reason),
		}}
		if err := each(l); err != nil {
			return err
		}
	}
	return nil
}

// eachWitness makes a line of the newest checkpoint of the evidence log, and one
// of what each witness has seen of it.
func eachWitness(r *run, each func(*line) error) error {
	size, err := r.src.Log.Size()
	if err != nil {
		return err
	}
	signed, err := r.src.Log.Checkpoint()
	if err != nil {
		return err
	}
	all, err := r.src.Log.Witnessed()
	if err != nil {
		return err
	}
	put := func(who string, leaves, at int64) error {
		l := &line{made: map[string]string{"who": who, "leaves": strconv.FormatInt(leaves, 10)}}
		if leaves >= 0 && int64(size) >= leaves {
			l.made["behind"] = strconv.FormatInt(int64(size)-leaves, 10)
		}
		if at != 0 {
			l.made["time"] = timeCell(time.UnixMilli(at))
			l.made["hours"] = strconv.FormatInt(int64(r.src.Now.Sub(time.UnixMilli(at)).Hours()), 10)
		}
		return each(l)
	}
	if err := put("log", int64(size), 0); err != nil {
		return err
	}
	if signed.Note != nil {
		if err := put("server", noteSize(signed.Note), signed.At); err != nil {
			return err
		}
	}
	for _, w := range all {
		who, _, _ := strings.Cut(w.Key, "+")
		if err := put("witness "+fact.Value(who), int64(w.Size), w.At); err != nil {
			return err
		}
	}
	return nil
}

// noteSize reads the number of leaves in the second line of a checkpoint (C2SP
// tlog-checkpoint), which the server itself has written.
func noteSize(note []byte) int64 {
	lines := strings.SplitN(string(note), "\n", 3)
	if len(lines) < 2 {
		return -1
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// eachSecret makes a line of each machine that shares a secret with others. Secrets
// of one kind that the same machines share are one: a cloned image has several
// host keys.
func eachSecret(r *run, each func(*line) error) error {
	type mark struct{ kind, print string }
	holders := map[mark][]*line{}
	err := eachMachine(r, func(l *line) error {
		found, err := factsOf(l.m, "secret/**")
		for _, f := range found {
			kind, _, _ := strings.Cut(strings.TrimPrefix(f.Path, "secret/"), "/")
			for print := range strings.FieldsSeq(f.Value) {
				m := mark{kind, print}
				if have := holders[m]; len(have) == 0 || have[len(have)-1] != l {
					holders[m] = append(have, l)
				}
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	groups := map[string][]*line{}
	secrets := map[string]int{}
	for m, lines := range holders {
		if len(lines) < 2 {
			continue
		}
		words := []string{m.kind}
		for _, l := range lines {
			words = append(words, l.ci.ID)
		}
		key := strings.Join(words, " ")
		groups[key] = lines
		secrets[key]++
	}
	for i, key := range slices.Sorted(maps.Keys(groups)) {
		kind, _, _ := strings.Cut(key, " ")
		for _, l := range groups[key] {
			one := *l
			one.made = map[string]string{"secret": kind, "secrets": strconv.Itoa(secrets[key]), "group": strconv.Itoa(i + 1)}
			if err := each(&one); err != nil {
				return err
			}
		}
	}
	return nil
}

// twins are what two machines must not have in common.
var twins = map[string][]string{
	"serial":     {"id/serial/product", "id/serial/chassis", "id/serial/board"},
	"mac":        {"net/*/permanent", "net/*/mac"},
	"uuid":       {"id/uuid"},
	"machine-id": {"id/machine-id"},
	"tag":        {"id/tag"},
}

// eachTwin makes a line of each value of the parameter "of" that a machine has.
func eachTwin(r *run, each func(*line) error) error {
	return eachMachine(r, func(whole *line) error {
		seen := map[string]bool{}
		for _, pattern := range twins[r.set["of"]] {
			found, err := factsOf(whole.m, pattern)
			if err != nil {
				return err
			}
			for _, f := range found {
				v := strings.ToLower(f.Value)
				if seen[v] || r.set["of"] == "mac" && !realCard(whole.m, f.Path) {
					continue
				}
				seen[v] = true
				if err := each(&line{m: whole.m, ci: whole.ci, made: map[string]string{"value": f.Value}}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// realCard tells that the address is of a card, and not of a bridge or the like,
// which may have any.
func realCard(m Machine, path string) bool {
	parts := strings.Split(path, "/")
	wanted := parts[0] + "/" + parts[1] + "/driver"
	set, err := m.FactsUnder(wanted)
	if err != nil {
		return false
	}
	driver, _ := set.Get(wanted)
	return driver != ""
}

// lifetime is how long a release of Debian gets security updates: of the security
// team, then of the LTS team. Source: debian.csv of the package distro-info-data,
// columns eol and eol-lts, as of 0.58+deb12u6.
var lifetime = map[string][2]string{
	"stretch":  {"2020-07-18", "2022-06-30"},
	"buster":   {"2022-09-10", "2024-06-30"},
	"bullseye": {"2024-08-14", "2026-08-31"},
	"bookworm": {"2026-07-11", "2028-06-30"},
	"trixie":   {"2028-08-09", "2030-06-30"},
}

// support are the stages of a release; programs read them.
const (
	supportFull    = "supported"
	supportLTS     = "lts"
	supportEnded   = "ended"
	supportUnknown = "unknown"
)

// ends gives when a release's support ends, and at which stage it is on the day
// of the parameter "by", or now.
func ends(r *run, codename string) (full, lts, stage string) {
	life, ok := lifetime[codename]
	day := r.now()
	if by := r.date("by"); !by.IsZero() {
		day = by
	}
	on := day.UTC().Format(time.DateOnly)
	switch {
	case !ok:
		return "", "", supportUnknown
	case on <= life[0]:
		stage = supportFull
	case on <= life[1]:
		stage = supportLTS
	default:
		stage = supportEnded
	}
	return life[0], life[1], stage
}

// support is a column of when or whether a release's support ends.
func support(key string, kind Kind, of func(full, lts, stage string) string) Column {
	codename := facts("codename", Text, "os/codename")
	return Column{Key: key, Kind: kind, Facts: codename.Facts, read: func(r *run, l *line) (string, error) {
		name, err := codename.read(r, l)
		return of(ends(r, name)), err
	}}
}

// bornIn tells when a machine is from: the declared date of purchase, or else the
// date of its firmware, which is a guess.
func bornIn(l *line) (at time.Time, how string, err error) {
	for _, name := range []string{"purchased", "bought"} {
		text := fieldOf(l, name)
		for _, layout := range []string{time.DateOnly, "2006-01", "2006"} {
			if t, err := time.Parse(layout, text); err == nil {
				return t, name, nil
			}
		}
	}
	found, err := factsOf(l.m, "hw/bios/date")
	if err != nil || len(found) == 0 {
		return time.Time{}, "", err
	}
	if t, err := time.Parse("01/02/2006", found[0].Value); err == nil {
		return t, "firmware", nil
	}
	return time.Time{}, "", nil
}

// age is a column of what bornIn tells.
func age(key string, kind Kind, of func(r *run, at time.Time, how string) string) Column {
	return Column{Key: key, Kind: kind, Field: "purchased", Facts: []string{"hw/bios/date"}, read: func(r *run, l *line) (string, error) {
		at, how, err := bornIn(l)
		if err != nil || at.IsZero() {
			return "", err
		}
		return of(r, at, how), nil
	}}
}

func years(r *run, at time.Time) float64 { return r.now().Sub(at).Hours() / 24 / 365.25 }

// slots is a column of how many places for memory there are, of which empty says
// how many are counted.
func slots(key string, empty bool) Column {
	const sizes = "hw/dimm/*/size"
	return Column{Key: key, Kind: Number, Facts: []string{sizes}, read: func(_ *run, l *line) (string, error) {
		found, err := factsOf(l.m, sizes)
		if err != nil || len(found) == 0 {
			return "", err
		}
		n := 0
		for _, f := range found {
			if !empty || f.Value == "empty" {
				n++
			}
		}
		return strconv.Itoa(n), nil
	}}
}

// pending counts what apt would upgrade, all of it or what is for security.
func pending(key string, security bool) Column {
	return Column{Key: key, Kind: Number, Facts: []string{"apt/upgrade/*"}, read: func(_ *run, l *line) (string, error) {
		found, err := factsOf(l.m, "apt/upgrade/*")
		n := 0
		for _, f := range found {
			if !security || strings.HasSuffix(f.Value, " security") {
				n++
			}
		}
		return strconv.Itoa(n), err
	}}
}

// labels are what an auditor finds a machine again by.
func labels(l *line) (serial, tag string, err error) {
	for _, p := range []string{"id/serial/product", "id/serial/chassis", "id/serial/*"} {
		found, err := factsOf(l.m, p)
		if err != nil {
			return "", "", err
		}
		if len(found) > 0 {
			serial = found[0].Value
			break
		}
	}
	found, err := factsOf(l.m, "id/tag")
	if len(found) > 0 {
		tag = found[0].Value
	}
	return serial, cmp.Or(fieldOf(l, "barcode"), tag), err
}

// absent says which of these declared fields a CI does not have.
func absent(l *line, names ...string) string {
	var out []string
	for _, n := range names {
		if fieldOf(l, n) == "" {
			out = append(out, n)
		}
	}
	return strings.Join(out, " ")
}
