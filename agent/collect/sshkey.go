package collect

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
)

func sshKeys() Collector {
	return Collector{Name: "ssh", Owns: []string{"ssh/"}, Collect: collectSSHKeys}
}

// collectSSHKeys gives the fingerprints of the host keys as ssh-keygen(1) -l
// prints them. Equal ones on two machines mean that one is a copy of the other.
func collectSSHKeys(_ context.Context, h Host, s *Sink) error {
	names, err := h.Names("etc/ssh")
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "ssh_host_") || !strings.HasSuffix(name, "_key.pub") {
			continue
		}
		b, err := h.ReadFile("etc/ssh/"+name, 64<<10)
		switch {
		case errors.Is(err, fs.ErrPermission):
			s.Denied("etc/ssh/" + name)
		case err != nil && !Absent(err):
			return err
		}
		if kind, fingerprint, ok := parsePublicKey(string(b)); ok {
			s.Fact(Path("ssh", "hostkey", kind), fingerprint)
		}
	}
	return nil
}

// parsePublicKey reads "TYPE BASE64 [comment]". The type stands again inside of
// the key (RFC 4253 section 6.6): what disagrees with itself is no key.
func parsePublicKey(line string) (kind, fingerprint string, ok bool) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return "", "", false
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil || len(blob) < 4 {
		return "", "", false
	}
	n := binary.BigEndian.Uint32(blob)
	if uint64(n) > uint64(len(blob)-4) || string(blob[4:4+n]) != words[0] {
		return "", "", false
	}
	sum := sha256.Sum256(blob)
	return words[0], "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), true
}
