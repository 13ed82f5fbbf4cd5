package collect

import (
	"context"
	"io/fs"
	"strconv"
	"strings"
)

func processor() Collector {
	return Collector{Name: "cpu", Owns: []string{"hw/cpu/"}, Collect: collectCPU}
}

// collectCPU reads the first processor from /proc/cpuinfo, as all are alike, and
// counts the others in sysfs, because cpuinfo lists only those that are online
// and its clock rates never stand still.
func collectCPU(_ context.Context, h Host, s *Sink) error {
	first, listed, err := firstProcessor(h)
	if err != nil {
		return err
	}
	pick := func(keys ...string) string {
		for _, k := range keys {
			if first[k] != "" {
				return first[k]
			}
		}
		return ""
	}
	model := strings.Join(strings.Fields(pick("model name", "Model Name", "cpu model", "cpu", "Processor", "uarch")), " ")
	if model == "" && first["CPU part"] != "" {
		model = "implementer " + first["CPU implementer"] + " part " + first["CPU part"] // ARM: names are the server's to look up
	}
	s.Fact("hw/cpu/model", model)
	s.Fact("hw/cpu/vendor", pick("vendor_id", "CPU implementer", "mvendorid"))
	s.Fact("hw/cpu/family", pick("cpu family", "CPU architecture"))
	s.Fact("hw/cpu/stepping", pick("stepping", "CPU revision"))
	s.Fact("hw/cpu/part", pick("model", "CPU part"))
	s.Fact("hw/cpu/microcode", pick("microcode"))

	count := topology(h)
	if count.threads == 0 {
		count.threads = listed
	}
	put := func(path string, n int) {
		if n > 0 {
			s.Fact(path, strconv.Itoa(n))
		}
	}
	put("hw/cpu/threads", count.threads)
	put("hw/cpu/cores", count.cores)
	put("hw/cpu/sockets", count.sockets)

	const weak = "sys/devices/system/cpu/vulnerabilities"
	names, err := h.Names(weak)
	if err != nil && !Absent(err) {
		return err
	}
	for _, name := range names {
		s.Fact(Path("hw", "cpu", "vulnerability", name), h.Line(s, weak+"/"+name))
	}
	return nil
}

// firstProcessor gives the values of the first processor that cpuinfo lists, and
// how many it lists.
func firstProcessor(h Host) (first map[string]string, listed int, err error) {
	first = map[string]string{}
	err = h.Lines("proc/cpuinfo", func(line string) bool {
		key, value, ok := strings.Cut(line, ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok {
			return true
		}
		if key == "processor" {
			listed++
		}
		if _, known := first[key]; !known && listed <= 1 && len(first) < 100 && key != "flags" {
			first[key] = value
		}
		return true
	})
	if err != nil && Absent(err) {
		return nil, 0, fs.ErrNotExist
	}
	return first, listed, err
}

type cpuCount struct{ threads, cores, sockets int }

// topology counts the processors that are there, online or not, and the cores
// and sockets of those that are online.
func topology(h Host) cpuCount {
	const dir = "sys/devices/system/cpu"
	var c cpuCount
	cores, sockets := map[string]bool{}, map[string]bool{}
	present, err := h.ReadLine(dir + "/present")
	if err != nil {
		if present, err = h.ReadLine(dir + "/online"); err != nil {
			return c
		}
	}
	for _, n := range cpuList(present) {
		c.threads++
		base := dir + "/cpu" + strconv.Itoa(n) + "/topology/"
		socket, err := h.ReadLine(base + "physical_package_id")
		if err != nil {
			continue // offline
		}
		sockets[socket] = true
		core, err := h.ReadLine(base + "thread_siblings_list")
		if err != nil || core == "" {
			if core, err = h.ReadLine(base + "core_id"); err != nil {
				continue
			}
			core = socket + ":" + core
		}
		cores[core] = true
	}
	c.cores, c.sockets = len(cores), len(sockets)
	return c
}

// cpuList reads the kernel's list format, "0-3,8". At most 8192 numbers, the
// kernel's own bound, are given.
func cpuList(s string) []int {
	const most = 8192
	var list []int
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || a < 0 {
			continue
		}
		for n := a; n <= b && len(list) < most; n++ {
			list = append(list, n)
		}
	}
	return list
}
