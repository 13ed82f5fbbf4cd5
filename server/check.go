package server

import (
	"context"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"rollcall/internal/fact"
	"rollcall/internal/identity"
	"rollcall/server/cmdb"
	"rollcall/server/enrol"
	"rollcall/server/evidence"
	"rollcall/server/store"
	"rollcall/server/store/bolt"
)

// offline is a store that is open without a server.
type offline struct {
	engine *bolt.Engine
	sets   *cmdb.Sets
	tenant string
	cfg    Config

	unsound bool // check found that its records must not be read
}

// openOffline opens the store for reading; a server that runs has it locked.
func openOffline(cfg Config) (*offline, error) {
	o, err := openUnread(cfg)
	if err != nil {
		return nil, err
	}
	if err := o.schema(); err != nil {
		return nil, errors.Join(err, o.engine.Close())
	}
	return o, nil
}

// openUnread is openOffline for a store whose pages are to be checked before any
// record is read.
func openUnread(cfg Config) (*offline, error) {
	if _, err := identity.LoadKey(cfg.KeyFile()); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", cfg.Data, ErrNotInitialised)
	}
	engine, err := bolt.Open(cfg.database(), bolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	sets, err := cmdb.NewSets()
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return &offline{engine: engine, sets: sets, tenant: cfg.Tenant, cfg: cfg}, nil
}

// schema returns an error if a newer program wrote the store: it is not judged by
// the rules of this one. Whatever else is wrong with the record of the schema is
// for the check to say.
func (o *offline) schema() error {
	if err := store.Schema(context.Background(), o.engine); errors.Is(err, store.ErrSchema) {
		return fmt.Errorf("open %s: %w", o.cfg.Data, err)
	}
	return nil
}

// Report is what Check found.
type Report struct {
	Items, Revisions, Sets, Contents, Records, Leaves int

	Unreferenced int // contents that nothing refers to yet, or any more

	Last   time.Time // of the newest revision
	Faults []Fault
}

// Check reads everything in the store of a data folder, or of a backup, and compares it with its checksums and
// with what refers to it: structure of the file, frames of all records, digests
// of sets and contents, each CI's chain of revisions and its present state, the
// log and what its leaves are about. It changes nothing.
func Check(ctx context.Context, cfg Config) (Report, error) {
	var rep Report
	o, err := openUnread(cfg)
	if err != nil {
		return rep, err
	}
	return rep, errors.Join(o.check(ctx, &rep), o.engine.Close())
}

// check does what Check does on an open store.
func (o *offline) check(ctx context.Context, rep *Report) error {
	key, err := identity.LoadKey(o.cfg.KeyFile())
	if err != nil {
		return err
	}
	if err := o.structure(ctx, rep); err != nil || o.unsound {
		return err
	}
	if err := o.schema(); err != nil {
		return err
	}
	var known serverKeys
	err = o.engine.View(ctx, func(r store.Reader) (err error) {
		known, err = loadServerKeys(r, o.tenant, key)
		return err
	})
	if err != nil {
		return err
	}
	c := checker{
		cfg: o.cfg, rep: rep, tenant: o.tenant, servers: known.all(key), realm: known.Realm, rule: RuleBytes,
		governed: map[string][]byte{}, changed: map[string]lastChange{}, purged: map[string]bool{},
		sets: map[fact.Digest]bool{}, contents: map[fact.Digest]bool{}, heads: map[string]cmdb.CI{}, md5s: map[fact.Digest]string{},
	}
	return o.engine.View(ctx, func(r store.Reader) error {
		c.View, c.r, c.keys = cmdb.At(r, o.tenant, o.sets, cmdb.Everywhere), r, enrol.At(r, o.tenant)
		var err error
		if c.digests, c.digested, err = evidence.At(r, o.tenant).Digester(); err != nil {
			c.fault(err)
		}
		c.frames()
		for _, part := range []func(context.Context) error{c.log, c.items, c.references, c.indexes, c.admission} {
			if err := part(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// structure checks the pages of the file. If their tree is damaged, no record can
// be read safely, and the check ends here.
func (o *offline) structure(ctx context.Context, rep *Report) error {
	fault := func(err error) { rep.Faults = append(rep.Faults, Fault{RuleBytes, err.Error()}) }
	_, err := o.engine.Check(ctx, func(err error) {
		o.unsound = o.unsound || errors.Is(err, bolt.ErrTree)
		fault(err)
	})
	if o.unsound {
		fault(errors.New("no record was checked, because pages that lead to them are damaged: restore a backup"))
	}
	return err
}

// checker walks one snapshot.
type checker struct {
	cmdb.View
	cfg            Config
	r              store.Reader
	rep            *Report
	rule           Rule                // that what is found now breaks
	servers        []ed25519.PublicKey // that receipts may be signed with
	realm          []byte
	sets, contents map[fact.Digest]bool // looked at already
	heads          map[string]cmdb.CI
	md5s           map[fact.Digest]string // of contents that were read
	keys           enrol.View
	leafOf         evidence.View
	admitted       map[string]string // key → the CI that a leaf admits it to
	published      []byte            // digest of the policy that the last leaf about one published
	pruned         int64             // before this time, in ms, envelopes are not kept
	logSince       int64             // stamp of the last revision before the log began
	tenant         string

	digests  evidence.Digester     // of records; none if digesting is not set
	digested bool                  // the log tells of changed records
	governed map[string][]byte     // digests of the records that people decide about, by name
	changed  map[string]lastChange // by record: what the log told of it last
	purged   map[string]bool       // CIs whose erasure has begun: their keys' records change after it
}

// lastChange is the newest leaf that tells of a record.
type lastChange struct {
	after []byte
	leaf  string
}

// fault notes an error under the rule that is being checked.
func (c *checker) fault(err error) {
	c.rep.Faults = append(c.rep.Faults, Fault{c.rule, err.Error()})
}

// under does a part of the check whose faults break another rule.
func (c *checker) under(rule Rule, part func()) {
	defer func(old Rule) { c.rule = old }(c.rule)
	c.rule = rule
	part()
}

// frames checks every record's checksum. Feed entries and blobs have frames of
// their own and are read below.
func (c *checker) frames() {
	for _, space := range store.Spaces {
		for p, err := range c.r.Scan(space, nil, nil, 0) {
			if err != nil {
				c.fault(err)
				return
			}
			c.rep.Records++
			k := store.Key{Space: space, K: p.K}
			if _, _, err := store.Unframe(k, p.V); err != nil {
				c.fault(err)
			} else if c.digested {
				c.govern(k, p.V)
			}
		}
	}
}

func (c *checker) items(ctx context.Context) error {
	c.rule = RuleState
	for ci, err := range c.All() {
		if err != nil {
			c.fault(err)
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c.rep.Items++
		c.heads[ci.ID] = ci
		c.history(ci)
	}
	return nil
}

// history checks that each revision starts where the one before ended, and that
// the last one ends at the present state.
func (c *checker) history(ci cmdb.CI) {
	var last cmdb.Revision
	var fold cmdb.Fold
	for n := ci.From(); n <= ci.Rev; n++ {
		r, err := c.Revision(ci.ID, n)
		if err != nil {
			c.fault(err)
			continue
		}
		c.rep.Revisions++
		if at := r.At(); at.After(c.rep.Last) {
			c.rep.Last = at
		}
		if err := fold.Add(r); err != nil {
			c.fault(err)
		}
		if n > ci.From() && last.N == n-1 && (r.Prev.Digest() != last.State.Digest() || r.Stamp <= last.Stamp) {
			c.fault(fmt.Errorf("revision %d of CI %s (%s) does not follow the one before", n, ci.ID, ci.Name))
		}
		last = r
		c.state(ci, r)
		c.envelope(ci, r)
	}
	if last.N == ci.Rev && !fold.Leads(ci) {
		c.fault(fmt.Errorf("CI %s (%s): what is declared about it is not what its revisions lead to", ci.ID, ci.Name))
	}
	if last.N == ci.Rev && last.State.Digest() != ci.State.Digest() {
		c.fault(fmt.Errorf("CI %s (%s): its present state is not that of revision %d", ci.ID, ci.Name, ci.Rev))
	}
}

func (c *checker) state(ci cmdb.CI, r cmdb.Revision) {
	for section, d := range r.State {
		if c.sets[d] {
			continue
		}
		c.sets[d] = true
		c.rep.Sets++
		set, err := c.LoadSet(d)
		if err != nil {
			c.under(RuleBlobs, func() {
				c.fault(fmt.Errorf("revision %d of CI %s (%s), section %s: %w", r.N, ci.ID, ci.Name, section, err))
			})
			continue
		}
		if section == "etc" {
			c.files(ci, r, set)
		}
	}
}

func (c *checker) files(ci cmdb.CI, r cmdb.Revision, set fact.Set) {
	for _, f := range set {
		file, err := fact.ParseFile(f.Value)
		if err != nil {
			c.fault(fmt.Errorf("revision %d of CI %s (%s): %w", r.N, ci.ID, ci.Name, err))
			continue
		}
		if !file.HasContent() || c.contents[file.Digest] {
			continue
		}
		c.contents[file.Digest] = true
		c.rep.Contents++
		b, err := c.Content(file.Digest)
		if err == nil && sha256.Sum256(b) != file.Digest {
			err = store.ErrCorrupt
		}
		c.md5s[file.Digest] = "" // told of here if at all
		if err == nil {
			sum := md5.Sum(b)
			c.md5s[file.Digest] = hex.EncodeToString(sum[:])
		} else {
			c.under(RuleBlobs, func() {
				c.fault(fmt.Errorf("revision %d of CI %s (%s), /%s: %w", r.N, ci.ID, ci.Name, f.Path, err))
			})
		}
	}
}
