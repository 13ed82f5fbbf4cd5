package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/cmdb"
	"rollcall/server/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxFileShown is the size up to which a content travels in one message.
const maxFileShown = 3 << 20

// File gives one file of a machine's /etc as it was, and for a diff also what it
// was before.
func (s *Service) File(ctx context.Context, req *rollcallv1.FileRequest) (*rollcallv1.FileReply, error) {
	path, err := filePath(req.GetPath())
	if err != nil {
		return nil, err
	}
	reply := &rollcallv1.FileReply{Path: "/" + path}
	err = s.view(ctx, func(r store.Reader, items cmdb.View) error {
		sub, err := s.subjectAt(r, items, req.GetCi(), when(req.GetAtMs()))
		if err != nil {
			return err
		}
		now, err := fileAt(items, sub.head, sub.ci.Rev, path)
		if err != nil {
			return err
		}
		if !now.known {
			return fmt.Errorf("file %q of %s: %w: it was never reported", req.GetPath(), sub.ci.Name, cmdb.ErrNoFile)
		}
		reply.Value, reply.Content, reply.HasContent, reply.SinceMs = now.value, now.content, now.has, millis(now.since)
		reply.Binary = !utf8.Valid(now.content) || bytes.IndexByte(now.content, 0) >= 0
		if !req.GetDiff() {
			return nil
		}
		was, err := s.fileBefore(items, sub, now, path, when(req.GetFromMs()))
		reply.OldValue, reply.OldContent, reply.OldHasContent, reply.OldSinceMs = was.value, was.content, was.has, millis(was.since)
		reply.Binary = reply.Binary || !utf8.Valid(was.content) || bytes.IndexByte(was.content, 0) >= 0
		return err
	})
	return reply, err
}

// fileState is a file between two of its changes.
type fileState struct {
	value   string
	content []byte
	has     bool
	since   time.Time
	rev     uint64
	known   bool // it is there, or has been
}

// fileAt returns what a file was after revision rev of its CI.
func fileAt(items cmdb.View, ci cmdb.CI, rev uint64, path string) (fileState, error) {
	r, ok, err := items.LastChange(ci, rev, path)
	if err != nil || !ok {
		return fileState{}, err
	}
	set, err := items.Set(r.State, "etc")
	if err != nil {
		return fileState{}, err
	}
	st := fileState{since: r.At(), rev: r.N, known: true}
	if st.value, ok = set.Get(path); !ok {
		return st, nil
	}
	f, err := fact.ParseFile(st.value)
	if err != nil || f.Kind != fact.KindPlain {
		return st, err
	}
	st.content, err = items.Content(f.Digest)
	if len(st.content) > maxFileShown {
		return st, status.Errorf(codes.ResourceExhausted, "the file has %d bytes, more than a message takes: use the git mirror", len(st.content))
	}
	st.has = err == nil
	return st, err
}

func (s *Service) fileBefore(items cmdb.View, sub *subject, now fileState, path string, from time.Time) (fileState, error) {
	if from.IsZero() {
		return fileAt(items, sub.head, now.rev-1, path)
	}
	then, err := s.asOf(items, sub.head, from)
	if errors.Is(err, cmdb.ErrNotFound) {
		return fileState{}, nil
	}
	if err != nil {
		return fileState{}, err
	}
	return fileAt(items, sub.head, then.ci.Rev, path)
}

const maxContents = 20_000

// Content streams the contents that a manifest names. What is asked for must be
// in that manifest: this is no way to read the contents of other machines.
func (s *Service) Content(req *rollcallv1.ContentRequest, st grpc.ServerStreamingServer[rollcallv1.ContentReply]) error {
	if len(req.GetDigests())+len(req.GetMd5S()) > maxContents {
		return status.Errorf(codes.InvalidArgument, "more than %d contents at once", maxContents)
	}
	ctx := st.Context()
	var named map[fact.Digest]bool
	var defaults map[string]bool
	err := s.view(ctx, func(r store.Reader, items cmdb.View) error {
		sub, err := s.sourceAt(r, items, req.GetCi(), when(req.GetAtMs()))
		if err != nil {
			return err
		}
		named, defaults, err = namedBy(items, sub.ci.State)
		return err
	})
	if err != nil {
		return err
	}
	for _, b := range req.GetDigests() {
		if len(b) != len(fact.Digest{}) || !named[fact.Digest(b)] {
			return status.Errorf(codes.InvalidArgument, "content %x is not in this CI's manifest", b)
		}
		if err := s.sendContent(st, fact.Digest(b), ""); err != nil {
			return err
		}
	}
	for _, sum := range req.GetMd5S() {
		if !defaults[sum] {
			return status.Errorf(codes.InvalidArgument, "default %.40q is not in this CI's manifest", sum)
		}
		if err := s.sendContent(st, fact.Digest{}, sum); err != nil {
			return err
		}
	}
	return nil
}

// namedBy lists the contents and package defaults that a state refers to.
func namedBy(items cmdb.View, state fact.State) (map[fact.Digest]bool, map[string]bool, error) {
	named, defaults := map[fact.Digest]bool{}, map[string]bool{}
	set, err := items.Set(state, "etc")
	if err != nil {
		return nil, nil, err
	}
	for _, f := range set {
		file, err := fact.ParseFile(f.Value)
		if err != nil {
			return nil, nil, err
		}
		if file.HasContent() {
			named[file.Digest] = true
		}
	}
	if set, err = items.Set(state, "conffile"); err != nil {
		return nil, nil, err
	}
	for _, f := range set {
		if sum := cmdb.PristineMD5(f.Value); sum != "" {
			defaults[sum] = true
		}
	}
	return named, defaults, nil
}

// sendContent sends one content in parts. A package default that no machine
// ever had is sent as nothing: the restore then does without.
func (s *Service) sendContent(st grpc.ServerStreamingServer[rollcallv1.ContentReply], d fact.Digest, md5 string) error {
	var content []byte
	found := true
	err := s.view(st.Context(), func(_ store.Reader, items cmdb.View) (err error) {
		if md5 != "" {
			content, found, err = items.Pristine(md5, 0, items.Scope().Sees)
			return err
		}
		content, err = items.Content(d)
		return err
	})
	if err != nil || !found {
		return err
	}
	part := &rollcallv1.ContentReply{Size: uint64(len(content)), Md5: md5}
	if md5 == "" {
		part.Digest = d[:]
	}
	for {
		n := min(len(content), maxUploadPart)
		part.Data, content = content[:n], content[n:]
		if err := st.Send(part); err != nil {
			return err
		}
		if len(content) == 0 {
			return nil
		}
		part = &rollcallv1.ContentReply{}
	}
}
