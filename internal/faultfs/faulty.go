package faultfs

import "github.com/hanwen/go-fuse/v2/fuse"

// faulty is the file system below, each changing operation of which may fail.
type faulty struct {
	fuse.RawFileSystem
	of *faults
}

// Writev is what the library calls for every write.
func (f *faulty) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if st, yes := f.of.fails("write"); yes {
		return 0, st
	}
	return f.RawFileSystem.Writev(cancel, in, data)
}

func (f *faulty) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if st, yes := f.of.fails("fsync"); yes {
		return st
	}
	return f.RawFileSystem.Fsync(cancel, in)
}

// FsyncDir does nothing but fail: what is below does not know it, and told so the
// kernel would not ask again.
func (f *faulty) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status {
	st, _ := f.of.fails("fsync of a folder")
	return st
}

func (f *faulty) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if st, yes := f.of.fails("create " + name); yes {
		return st
	}
	return f.RawFileSystem.Create(cancel, in, name, out)
}

func (f *faulty) Rename(cancel <-chan struct{}, in *fuse.RenameIn, old, name string) fuse.Status {
	if st, yes := f.of.fails("rename to " + name); yes {
		return st
	}
	return f.RawFileSystem.Rename(cancel, in, old, name)
}

func (f *faulty) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if st, yes := f.of.fails("link " + name); yes {
		return st
	}
	return f.RawFileSystem.Link(cancel, in, name, out)
}

func (f *faulty) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if st, yes := f.of.fails("unlink " + name); yes {
		return st
	}
	return f.RawFileSystem.Unlink(cancel, in, name)
}

func (f *faulty) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if st, yes := f.of.fails("mkdir " + name); yes {
		return st
	}
	return f.RawFileSystem.Mkdir(cancel, in, name, out)
}

func (f *faulty) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if in.Valid&fuse.FATTR_SIZE != 0 {
		if st, yes := f.of.fails("truncate"); yes {
			return st
		}
	}
	return f.RawFileSystem.SetAttr(cancel, in, out)
}
