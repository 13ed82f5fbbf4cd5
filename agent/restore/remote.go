package restore

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"rollcall/agent/uplink"
	"rollcall/internal/fact"
)

// Asker is what Remote needs of a session with the server; it is
// *uplink.Session.
type Asker interface {
	Manifest(ctx context.Context, ci string, at time.Time) (uplink.Manifest, error)
	Contents(ctx context.Context, ci string, at time.Time, want []fact.Digest, md5s []string,
		take func(d fact.Digest, md5 string, content []byte) error) error
}

// Remote asks the server. The contexts of its calls carry the operator's login,
// see uplink.Authorized.
type Remote struct {
	Session Asker
	CI      string    // id or name
	At      time.Time // zero: now
	// Unsigned takes what no signature of the machine vouches for, as where the
	// report is not kept any more. Otherwise that is ErrUnsigned.
	Unsigned bool
}

// Snapshot asks for the manifest.
func (r Remote) Snapshot(ctx context.Context) (Snapshot, error) {
	m, err := r.Session.Manifest(ctx, r.CI, r.At)
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{CI: m.CI, Name: m.Name, At: m.Recorded, Revision: m.Revision, Report: m.Report, Signer: m.Signer}
	if m.Signer == nil && !r.Unsigned {
		return Snapshot{}, fmt.Errorf("manifest of %q: %w", r.CI, ErrUnsigned)
	}
	for _, set := range m.Sets {
		if len(set) == 0 {
			continue
		}
		switch section := set[0].Section(); section {
		case "etc":
			s.Etc = set
		case "conffile":
			s.Conffile = set
		default:
			return Snapshot{}, fmt.Errorf("manifest of %q: section %q does not belong there", r.CI, section)
		}
	}
	return s, nil
}

// Contents asks for contents; the session checks them.
func (r Remote) Contents(ctx context.Context, needs []Need, take func(Need, []byte) error) error {
	byDigest := map[fact.Digest][]Need{}
	byMD5 := map[string][]Need{}
	var digests []fact.Digest
	var md5s []string
	for _, n := range needs {
		if n.MD5 != nil {
			sum := hex.EncodeToString(n.MD5[:])
			if byMD5[sum] == nil {
				md5s = append(md5s, sum)
			}
			byMD5[sum] = append(byMD5[sum], n)
			continue
		}
		if byDigest[n.Digest] == nil {
			digests = append(digests, n.Digest)
		}
		byDigest[n.Digest] = append(byDigest[n.Digest], n)
	}
	return r.Session.Contents(ctx, r.CI, r.At, digests, md5s, func(d fact.Digest, sum string, b []byte) error {
		wanted := byMD5[sum]
		if !d.IsZero() {
			wanted = byDigest[d]
		}
		for _, n := range wanted {
			if err := take(n, b); err != nil {
				return err
			}
		}
		return nil
	})
}
