package etc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// listing is the sorted names of one folder. Its memory is used again for the
// next folder of the same depth.
type listing struct {
	bytes []byte   // the names one after the other
	names []int32s // where each begins and ends
}

type int32s struct{ from, to int32 }

func (l *listing) name(i int) []byte { return l.bytes[l.names[i].from:l.names[i].to] }

// read lists the folder that fd is open on, at most limit names, and tells
// whether there were more.
func (l *listing) read(fd int, buf []byte, limit int) (more bool, err error) {
	l.bytes, l.names = l.bytes[:0], l.names[:0]
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false, err
		}
		if n == 0 {
			break
		}
		l.add(buf[:n])
		if len(l.names) > limit {
			l.names = l.names[:limit]
			more = true
			break
		}
	}
	slices.SortFunc(l.names, func(a, b int32s) int {
		return bytes.Compare(l.bytes[a.from:a.to], l.bytes[b.from:b.to])
	})
	return more, nil
}

// add takes the names out of a buffer of struct linux_dirent64 (getdents(2)):
// inode and offset of 8 bytes each, the record's length in 2, the type in 1,
// then the name up to a NUL.
func (l *listing) add(buf []byte) {
	const header = 19
	for len(buf) > header {
		length := int(binary.NativeEndian.Uint16(buf[16:]))
		if length <= header || length > len(buf) {
			return
		}
		name := buf[header:length]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		if s := string(name); s != "" && s != "." && s != ".." {
			from := len(l.bytes)
			l.bytes = append(l.bytes, name...)
			l.names = append(l.names, int32s{int32(from), int32(len(l.bytes))})
		}
		buf = buf[length:]
	}
}
