package collect

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Pace of the comparison of packages' files. Six gigabytes take two and a half days
// of hourly looks.
const (
	verifyEvery = 7 * 24 * time.Hour
	verifyLook  = 20 * time.Second // of one look
	verifyRate  = 5 << 20          // bytes a second
	maxBad      = 1000             // files that are told of
	maxSums     = 16 << 20         // bytes of a package's list
	maxVerified = 512 << 20        // bytes of a file that is compared
)

// Verification is how far the comparison of packages' files has come. It is plain
// data, to be saved by the agent as JSON: a round takes days. The zero Verification
// stands before the first round.
type Verification struct {
	Done time.Time         `json:"done"`           // when the last round ended
	Next string            `json:"next,omitempty"` // the list that comes next in a round that is under way
	Line int               `json:"line,omitempty"` // of it, how many are done
	Bad  map[string]string `json:"bad,omitempty"`  // what is wrong with a file, by its path, as last seen
}

// Verification gives how far the comparison has come.
func (c *Cache) Verification() Verification {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.verified
	v.Bad = maps.Clone(v.Bad)
	return v
}

// SetVerification takes what Verification gave.
func (c *Cache) SetVerification(v Verification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verified = v
}

func verify() Collector {
	return Collector{Name: "verify", Owns: []string{"verify/"}, Timeout: verifyLook + maxVerified/verifyRate*time.Second + 10*time.Second, Collect: collectVerify}
}

// collectVerify compares the files of packages with the digests that came with them
// (dpkg(1), deb-md5sums(5)), as debsums(1) does: each week a round, in each look a
// piece of it, slowly and after everybody else's reading. It is done where
// Host.Verify asks for it.
func collectVerify(ctx context.Context, h Host, s *Sink) error {
	if !h.Verify {
		return fs.ErrNotExist
	}
	v := h.Cache.Verification()
	if v.Next != "" || h.Now().Sub(v.Done) >= verifyEvery {
		if err := goOn(ctx, h, s, &v); err != nil {
			return err
		}
		h.Cache.SetVerification(v)
	}
	for name, what := range v.Bad {
		s.Fact(Path("verify", name), what)
	}
	s.Fact("verify/round", map[bool]string{true: "never finished", false: "finished"}[v.Done.IsZero()])
	return nil
}

// goOn compares what comes next until the time of one look is up.
func goOn(ctx context.Context, h Host, s *Sink, v *Verification) error {
	names, err := h.Names("var/lib/dpkg/info")
	if err != nil {
		return err
	}
	c := comparer{h: h, s: s, until: h.Now().Add(verifyLook), buffer: make([]byte, 256<<10)}
	if c.diverted, err = readDiversions(h); err != nil {
		return err
	}
	if c.excluded, err = pathExclusions(h, s); err != nil {
		return err
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
	const thisThread, idleClass = 1, 3 << 13
	// The service is in this class already, and may not ask for it.
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, thisThread, 0, idleClass)
	lists := slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".md5sums") })
	for _, list := range lists {
		if list < v.Next {
			continue
		}
		if list != v.Next {
			v.Next, v.Line = list, 0
		}
		if done, err := c.list(ctx, v); err != nil || !done {
			return err
		}
		v.Line = 0
	}
	v.forget(lists)
	v.Next, v.Done = "", h.Now()
	return nil
}

// packageOf gives "libc6" of "libc6:amd64.md5sums".
func packageOf(list string) string {
	name, _, _ := strings.Cut(strings.TrimSuffix(list, ".md5sums"), ":")
	return name
}

// forget drops what was known of packages that are gone.
func (v *Verification) forget(lists []string) {
	here := map[string]bool{}
	for _, list := range lists {
		here[packageOf(list)] = true
	}
	maps.DeleteFunc(v.Bad, func(_, what string) bool {
		_, pkg, _ := strings.Cut(what, " ")
		return !here[pkg]
	})
}

// comparer compares files with digests.
type comparer struct {
	h        Host
	s        *Sink
	until    time.Time
	diverted map[string]diversion
	excluded []pathExclusion
	buffer   []byte
}

// list goes on with the list v.Next at v.Line and tells whether it came to its end.
// What it found does not count if the package is replaced meanwhile.
func (c *comparer) list(ctx context.Context, v *Verification) (done bool, err error) {
	name := "var/lib/dpkg/info/" + v.Next
	before := c.h.stamp(name)
	sums, err := c.h.ReadFile(name, maxSums)
	if Absent(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	bad, pkg := maps.Clone(v.Bad), packageOf(v.Next)
	if bad == nil {
		bad = map[string]string{}
	}
	line, listed := 0, map[string]bool{}
	for text := range bytes.Lines(sums) {
		want, file, ok := parseSum(text)
		if d, moved := c.diverted["/"+file]; moved && d.by != pkg {
			file = strings.TrimPrefix(d.to, "/")
		}
		listed["/"+file] = true
		if line++; line <= v.Line || !ok || len(file) > 700 || !fs.ValidPath(file) {
			continue
		}
		if !c.h.Now().Before(c.until) {
			line--
			break
		}
		what, err := c.file(ctx, file, want)
		if err != nil {
			return false, err
		}
		delete(bad, "/"+file)
		if what != "" && len(bad) < maxBad {
			bad["/"+file] = what + " " + pkg
		}
	}
	if before != c.h.stamp(name) || dpkgBusy(c.h) {
		return false, nil
	}
	if done = c.h.Now().Before(c.until) || line == bytes.Count(sums, []byte("\n")); done {
		maps.DeleteFunc(bad, func(file, what string) bool { return strings.HasSuffix(what, " "+pkg) && !listed[file] })
	}
	v.Bad, v.Line = bad, line
	return done, nil
}

// parseSum reads a line "MD5  usr/bin/x".
func parseSum(line []byte) (want [md5.Size]byte, file string, ok bool) {
	line = bytes.TrimRight(line, "\n")
	if len(line) < 35 || line[32] != ' ' {
		return want, "", false
	}
	if _, err := hex.Decode(want[:], line[:32]); err != nil {
		return want, "", false
	}
	return want, strings.TrimPrefix(string(line[34:]), "./"), true
}

// file compares one file: "" when it is as it was shipped.
func (c *comparer) file(ctx context.Context, name string, want [md5.Size]byte) (string, error) {
	f, err := c.h.FS.Open(name)
	switch {
	case errors.Is(err, ErrRemote):
		return "", nil
	case errors.Is(err, fs.ErrPermission):
		c.s.Denied(name)
		return "", nil
	case errors.Is(err, fs.ErrNotExist):
		if left(c.excluded, "/"+name) {
			return "", nil
		}
		return "missing", nil
	case err != nil: // a folder's, socket's or device's place
		return "changed", nil
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() > maxVerified {
		return "", nil
	}
	sum := md5.New()
	for {
		n, err := f.Read(c.buffer)
		sum.Write(c.buffer[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "unreadable", nil // a bad sector, or a folder
		}
		if err := pause(ctx, n); err != nil {
			return "", err
		}
	}
	if [md5.Size]byte(sum.Sum(nil)) != want {
		return "changed", nil
	}
	return "", nil
}

// pause waits as long as so many bytes may take.
func pause(ctx context.Context, n int) error {
	timer := time.NewTimer(time.Duration(n) * time.Second / verifyRate)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// pathExclusion is a rule of dpkg(1), --path-exclude and --path-include: files that
// are not installed though the package has them.
type pathExclusion struct {
	pattern string
	exclude bool
}

func pathExclusions(h Host, s *Sink) ([]pathExclusion, error) {
	files := []string{"etc/dpkg/dpkg.cfg"}
	names, err := h.Entries(s, "etc/dpkg/dpkg.cfg.d")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		files = append(files, "etc/dpkg/dpkg.cfg.d/"+name)
	}
	var rules []pathExclusion
	for _, file := range files {
		b, err := h.Content(s, file, 1<<20)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			key, pattern, _ := strings.Cut(strings.TrimSpace(line), "=")
			if key = strings.TrimSpace(key); (key == "path-exclude" || key == "path-include") && len(rules) < 1000 {
				rules = append(rules, pathExclusion{strings.Trim(strings.TrimSpace(pattern), `"'`), key == "path-exclude"})
			}
		}
	}
	return rules, nil
}

// left tells whether dpkg was told to leave a file out. The last rule that fits
// counts; "*" stands for slashes too.
func left(rules []pathExclusion, name string) bool {
	out := false
	flat := strings.ReplaceAll(name, "/", "\x01")
	for _, r := range rules {
		if ok, err := path.Match(strings.ReplaceAll(r.pattern, "/", "\x01"), flat); ok && err == nil {
			out = r.exclude
		}
	}
	return out
}
