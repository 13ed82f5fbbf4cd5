// Command counts reads the events of "go test -json" on its standard input and
// prints one line a package, failures in full, skipped tests with their reason,
// and at last the plain line
//
//	N passed, N failed, N skipped
//
// A test with subtests counts by them alone. A package that fails without a
// failed test (it does not build, or ran out of time) counts as one failure.
// The exit status is 1 if anything failed or no test passed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	ok, err := run(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "counts:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// event is a line of go test -json, see "go doc test2json".
type event struct {
	Action     string
	Package    string
	ImportPath string // of build events
	Test       string
	Elapsed    float64
	Output     string
}

// counter gathers the events until a package ends.
type counter struct {
	out                     io.Writer
	passed, failed, skipped int
	packages                map[string]*pkg
}

type pkg struct {
	passed, failed, skipped int
	output                  map[string]*strings.Builder // by test; "" is the package
	parents                 map[string]bool             // tests that have subtests
	brokenBelow             map[string]bool             // tests with a failed subtest
}

func run(in io.Reader, out io.Writer) (ok bool, err error) {
	c := counter{out: out, packages: make(map[string]*pkg)}
	lines := bufio.NewReader(in)
	for {
		line, readErr := lines.ReadString('\n')
		if line != "" {
			if err := c.line(line); err != nil {
				return false, err
			}
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return false, fmt.Errorf("read events: %w", readErr)
		}
	}
	for name := range c.packages {
		c.failed++
		fmt.Fprintf(out, "FAIL  %s: its end is missing\n", name)
	}
	_, err = fmt.Fprintf(out, "\n%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
	return c.failed == 0 && c.passed > 0, err
}

// line takes one event. Lines that are none, such as those of a linker, are
// printed as they are.
func (c *counter) line(text string) error {
	var e event
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &e) != nil {
		_, err := io.WriteString(c.out, text)
		return err
	}
	if e.Package == "" {
		if e.Action == "build-output" {
			_, err := io.WriteString(c.out, e.Output)
			return err
		}
		return nil
	}
	p := c.packages[e.Package]
	if p == nil {
		p = &pkg{output: make(map[string]*strings.Builder), parents: make(map[string]bool), brokenBelow: make(map[string]bool)}
		c.packages[e.Package] = p
	}
	switch {
	case e.Action == "output":
		p.write(e.Test, e.Output)
	case e.Test != "":
		c.test(p, e)
	case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
		delete(c.packages, e.Package)
		c.end(p, e)
	}
	return nil
}

func (p *pkg) write(test, text string) {
	if p.output[test] == nil {
		p.output[test] = new(strings.Builder)
	}
	p.output[test].WriteString(text)
}

func (c *counter) test(p *pkg, e event) {
	parent := ""
	if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
		parent = e.Test[:i]
	}
	switch e.Action {
	case "run":
		for at := parent; at != ""; {
			p.parents[at] = true
			i := strings.LastIndexByte(at, '/')
			at = at[:max(i, 0)]
		}
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	output := ""
	if b := p.output[e.Test]; b != nil {
		output = b.String()
	}
	delete(p.output, e.Test)
	switch {
	case e.Action == "fail":
		fmt.Fprintf(c.out, "\n--- %s %s\n%s\n", e.Package, e.Test, output)
		if !p.brokenBelow[e.Test] {
			p.failed++
		}
		p.brokenBelow[parent] = true
	case p.parents[e.Test]: // its subtests were counted
	case e.Action == "pass":
		p.passed++
	case e.Action == "skip":
		p.skipped++
		fmt.Fprintf(c.out, "skip  %s %s: %s\n", e.Package, e.Test, reason(output))
	}
}

// reason returns what a skipped test said, without go test's own lines.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

func (c *counter) end(p *pkg, e event) {
	if e.Action == "fail" && p.failed == 0 {
		p.failed = 1
		if b := p.output[""]; b != nil {
			io.WriteString(c.out, b.String())
		}
		for name, b := range p.output { // tests that never ended
			if name != "" {
				fmt.Fprintf(c.out, "\n--- %s %s\n%s\n", e.Package, name, b)
			}
		}
	}
	c.passed, c.failed, c.skipped = c.passed+p.passed, c.failed+p.failed, c.skipped+p.skipped
	switch {
	case e.Action == "fail":
		fmt.Fprintf(c.out, "FAIL  %s  %.1fs, %d passed, %d failed, %d skipped\n", e.Package, e.Elapsed, p.passed, p.failed, p.skipped)
	case p.passed+p.skipped > 0:
		fmt.Fprintf(c.out, "ok    %s  %.1fs, %d passed, %d skipped\n", e.Package, e.Elapsed, p.passed, p.skipped)
	default:
		fmt.Fprintf(c.out, "--    %s  no tests\n", e.Package)
	}
}
