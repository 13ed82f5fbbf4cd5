package collect

import (
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"syscall"
)

// Cache keeps, between runs and between the collectors of one run, what costly
// sources gave, together with what shows that the source is unchanged. The zero
// Cache is empty; it may be lost at any time and must not be copied. Only the
// positions in log files are worth saving, see Logs, Verification and Clients.
type Cache struct {
	mu   sync.Mutex
	kept map[string]*keptSource
	logs map[string]LogPosition

	verified Verification
	clients  Clients
}

type keptSource struct {
	mu    sync.Mutex
	key   string
	valid bool
	value any
}

// LogPosition tells how far a log file has been read.
type LogPosition struct {
	Inode  uint64 `json:"inode"`
	Offset int64  `json:"offset"`
}

// Logs gives the positions in log files, to be saved by the agent as JSON.
func (c *Cache) Logs() map[string]LogPosition {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]LogPosition, len(c.logs))
	maps.Copy(out, c.logs)
	return out
}

// SetLogs takes the positions that Logs gave.
func (c *Cache) SetLogs(logs map[string]LogPosition) {
	for name, p := range logs {
		c.setLog(name, p)
	}
}

func (c *Cache) log(name string) (LogPosition, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.logs[name]
	return p, ok
}

func (c *Cache) setLog(name string, p LogPosition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logs == nil {
		c.logs = map[string]LogPosition{}
	}
	c.logs[name] = p
}

func (c *Cache) source(name string) *keptSource {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]*keptSource{}
	}
	if c.kept[name] == nil {
		c.kept[name] = &keptSource{}
	}
	return c.kept[name]
}

// remember returns what read gives, or what it gave before for the same key. Two
// collectors that ask at the same time read once. An error is not remembered.
func remember[T any](c *Cache, source, key string, read func() (T, error)) (T, error) {
	if c == nil {
		return read()
	}
	k := c.source(source)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.valid && k.key == key {
		return k.value.(T), nil
	}
	k.valid, k.value = false, nil // so that old and new are never held together
	v, err := read()
	if err == nil {
		k.key, k.value, k.valid = key, v, true
	}
	return v, err
}

// remembered tells whether remember would give something without reading.
func remembered(c *Cache, source, key string) bool {
	if c == nil {
		return false
	}
	k := c.source(source)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.valid && k.key == key
}

// stamp shows whether files or folders have changed: name, size, time of the
// last change and inode of each, or that it is missing.
func (h Host) stamp(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		st, err := fs.Stat(h.FS, name)
		if err != nil {
			fmt.Fprintf(&b, "%s -\n", name)
			continue
		}
		fmt.Fprintf(&b, "%s %d %d %d\n", name, st.Size(), st.ModTime().UnixNano(), inode(st))
	}
	return b.String()
}

// inode gives the inode number, 0 where the file system has none.
func inode(st fs.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}
