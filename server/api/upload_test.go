package api

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/ingest"
)

// uploads is a stream of upload messages, each behind its length.
type uploads struct {
	grpc.ServerStream
	rest []byte
	took int
}

func (u *uploads) Recv() (*rollcallv1.UploadRequest, error) {
	n, used := binary.Uvarint(u.rest)
	if used <= 0 || n > uint64(len(u.rest)-used) {
		return nil, io.EOF
	}
	var r rollcallv1.UploadRequest
	err := proto.Unmarshal(u.rest[used:used+int(n)], &r)
	u.rest = u.rest[used+int(n):]
	u.took += len(r.GetData())
	return &r, err
}

func (u *uploads) SendAndClose(*rollcallv1.UploadReply) error { return nil }

func framedUploads(f *testing.F, parts ...*rollcallv1.UploadRequest) (all []byte) {
	f.Helper()
	for _, p := range parts {
		b, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		all = append(binary.AppendUvarint(all, uint64(len(b))), b...)
	}
	return all
}

// FuzzUpload: a content is exactly the data of its parts, of the announced size,
// and whatever does not fit is the sender's fault.
func FuzzUpload(f *testing.F) {
	d := bytes.Repeat([]byte{1}, 32)
	f.Add(framedUploads(f, &rollcallv1.UploadRequest{Digest: d, Size: 5, Data: []byte("ab")}, &rollcallv1.UploadRequest{Data: []byte("cde")}))
	f.Add(framedUploads(f, &rollcallv1.UploadRequest{Digest: d}, &rollcallv1.UploadRequest{Digest: d, Size: 1, Data: []byte("a")}))
	f.Add(framedUploads(f, &rollcallv1.UploadRequest{Digest: d, Size: 1 << 63, Data: []byte("a")}))
	f.Add(framedUploads(f, &rollcallv1.UploadRequest{Digest: d[:31], Size: 2, Data: []byte("a")}, &rollcallv1.UploadRequest{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		st := &uploads{rest: b}
		whole := 0
		for {
			_, content, err := nextContent(st.Recv)
			if err != nil {
				if _, fault := toStatus(err); fault && !errors.Is(err, io.EOF) && !errors.Is(err, proto.Error) {
					t.Errorf("the server's fault: %v", err)
				}
				return
			}
			if whole += len(content); whole != st.took || len(content) > ingest.MaxContent {
				t.Errorf("%d bytes of contents from %d of data", whole, st.took)
			}
		}
	})
}
