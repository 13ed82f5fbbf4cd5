package mirror

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	graphStep  = 4000             // commits added at once: a second or two
	graphPause = 10 * time.Minute // between refreshes for a few commits
	noParent   = 0x70000000
)

// graphCommit is what the commit-graph says of one commit.
type graphCommit struct {
	hash, tree Hash
	parent     Hash // zero for the first
	level      uint32
	seconds    uint64
	filter     []byte
}

// refreshGraph adds commits to the commit-graph file, with which git log finds
// the few commits of one path without looking at the others. It does a part of
// the work if there is much, and tells whether there is more.
func (r *repo) refreshGraph(now time.Time) (more bool, err error) {
	if r.stale == 0 || r.stale*50 < r.graphed && now.Sub(r.graphTime) < graphPause {
		return false, nil
	}
	path := filepath.Join(r.dir, "objects", "info", "commit-graph")
	known, err := readGraph(path)
	if err != nil {
		return false, err
	}
	added, err := r.unknown(known)
	if err != nil {
		return false, err
	}
	more = len(added) > graphStep
	added = added[max(0, len(added)-graphStep):]
	for _, h := range slices.Backward(added) {
		c, err := r.describe(h, known)
		if err != nil {
			return false, fmt.Errorf("describe commit %s: %w", h, err)
		}
		known[h] = c
	}
	if len(added) > 0 {
		if err := r.disk.replace(path, encodeGraph(known), 0o444); err != nil {
			return false, err
		}
	}
	r.graphed, r.graphTime = len(known), now
	if !more {
		r.stale = 0
	}
	return more, nil
}

// unknown lists the commits that the graph lacks, newest first.
func (r *repo) unknown(known map[Hash]graphCommit) ([]Hash, error) {
	var all []Hash
	for h := r.head; !h.IsZero(); {
		if _, ok := known[h]; ok {
			break
		}
		all = append(all, h)
		c, err := r.commit(h)
		if err != nil {
			return nil, err
		}
		h = c.parent
	}
	return all, nil
}

func (r *repo) describe(h Hash, known map[Hash]graphCommit) (graphCommit, error) {
	c, err := r.commit(h)
	if err != nil {
		return graphCommit{}, err
	}
	g := graphCommit{hash: h, tree: c.tree, parent: c.parent, level: 1, seconds: uint64(max(0, c.stamp) / 1e9)}
	var before Hash
	if !c.parent.IsZero() {
		parent := known[c.parent]
		before, g.level = parent.tree, parent.level+1
	}
	g.filter, err = changedPaths(r, before, c.tree)
	return g, err
}

// graphChunk is a part of the file: a name and its bytes.
type graphChunk struct {
	id   string
	data []byte
}

// encodeGraph writes the format of gitformat-commit-graph(5).
func encodeGraph(known map[Hash]graphCommit) []byte {
	all := make([]graphCommit, 0, len(known))
	for _, c := range known {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b graphCommit) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	at := make(map[Hash]uint32, len(all))
	var fan [256]uint32
	for i, c := range all {
		at[c.hash] = uint32(i)
		fan[c.hash[0]]++
	}
	be := binary.BigEndian
	var fanout, ids, data, index []byte
	sum := uint32(0)
	for _, n := range fan {
		sum += n
		fanout = be.AppendUint32(fanout, sum)
	}
	filters := be.AppendUint32(be.AppendUint32(be.AppendUint32(nil, bloomVersion), bloomHashes), bloomBits)
	head := len(filters)
	for _, c := range all {
		ids = append(ids, c.hash[:]...)
		data = append(data, c.tree[:]...)
		parent := uint32(noParent)
		if !c.parent.IsZero() {
			parent = at[c.parent]
		}
		data = be.AppendUint32(be.AppendUint32(data, parent), noParent)
		data = be.AppendUint32(data, c.level<<2|uint32(c.seconds>>32)&3)
		data = be.AppendUint32(data, uint32(c.seconds))
		filters = append(filters, c.filter...)
		index = be.AppendUint32(index, uint32(len(filters)-head))
	}
	return joinChunks([]graphChunk{{"OIDF", fanout}, {"OIDL", ids}, {"CDAT", data}, {"BIDX", index}, {"BDAT", filters}})
}

func joinChunks(chunks []graphChunk) []byte {
	b := []byte{'C', 'G', 'P', 'H', 1, 1, byte(len(chunks)), 0}
	offset := uint64(len(b) + 12*(len(chunks)+1))
	for _, c := range chunks {
		b = binary.BigEndian.AppendUint64(append(b, c.id...), offset)
		offset += uint64(len(c.data))
	}
	b = binary.BigEndian.AppendUint64(append(b, 0, 0, 0, 0), offset)
	for _, c := range chunks {
		b = append(b, c.data...)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// readGraph reads what encodeGraph wrote. A file that is damaged, or written by
// git itself, counts as none: it is made anew.
func readGraph(path string) (map[Hash]graphCommit, error) {
	known := map[Hash]graphCommit{}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read commit-graph: %w", err)
	}
	if all, ok := decodeGraph(raw); ok {
		for _, c := range all {
			known[c.hash] = c
		}
	}
	return known, nil
}

func decodeGraph(raw []byte) ([]graphCommit, bool) {
	const chunks, head = 5, 8 + 12*6
	n := len(raw) - sha1.Size
	if n < head+1024 || sha1.Sum(raw[:n]) != [sha1.Size]byte(raw[n:]) || raw[6] != chunks {
		return nil, false
	}
	var part [chunks][]byte
	for i, id := range []string{"OIDF", "OIDL", "CDAT", "BIDX", "BDAT"} {
		row := raw[8+12*i:]
		from, to := binary.BigEndian.Uint64(row[4:]), binary.BigEndian.Uint64(row[16:])
		if string(row[:4]) != id || from > to || to > uint64(n) {
			return nil, false
		}
		part[i] = raw[from:to]
	}
	ids, data, index, filters := part[1], part[2], part[3], part[4]
	count := len(ids) / len(Hash{})
	if len(ids) != 20*count || len(data) != 36*count || len(index) != 4*count || len(filters) < 12 ||
		!bytes.Equal(filters[:12], []byte{0, 0, 0, bloomVersion, 0, 0, 0, bloomHashes, 0, 0, 0, bloomBits}) {
		return nil, false
	}
	return decodeCommits(ids, data, index, filters[12:])
}

func decodeCommits(ids, data, index, filters []byte) ([]graphCommit, bool) {
	be := binary.BigEndian
	all := make([]graphCommit, 0, len(index)/4)
	from := uint32(0)
	for i := range cap(all) {
		d := data[36*i:]
		c := graphCommit{hash: Hash(ids[20*i:][:20]), tree: Hash(d[:20])}
		if p := be.Uint32(d[20:]); p < uint32(cap(all)) {
			c.parent = Hash(ids[20*p:][:20])
		} else if p != noParent {
			return nil, false
		}
		word := be.Uint32(d[28:])
		c.level, c.seconds = word>>2, uint64(word&3)<<32|uint64(be.Uint32(d[32:]))
		to := be.Uint32(index[4*i:])
		if from > to || to > uint32(len(filters)) {
			return nil, false
		}
		c.filter = filters[from:to]
		from = to
		all = append(all, c)
	}
	return all, true
}
