package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"rollcall/agent"
	"rollcall/agent/restore"
	"rollcall/agent/uplink"
	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/conf"
	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// restoring is one call of the restore command.
type restoring struct {
	from, at, mirror, identity, login string
	sealedOut, sealedIn               string
	apply, all, remove, same, asJSON  bool
	noDiff, unsigned                  bool
	signedBy                          string
}

func (a *app) restoreCommand() *cobra.Command {
	var r restoring
	c := &cobra.Command{
		Use:   "restore [PATH...]",
		Short: "Bring an earlier /etc back onto this machine",
		Long: `Compares /etc with what a machine reported earlier and prints a plan: what would
be created or changed, what is in conflict with a newer default of an installed
package, what is sealed and needs an identity. Nothing is changed without --apply.

The earlier /etc comes from the server (--from CI, with an operator's login) or,
without any server, from the machine's folder in a clone of the git mirror
(--mirror DIR).

Where a package brought a newer default for a file that was changed locally, the
two are merged if their lines allow; else the default stays and the old version
is laid beside it as NAME.dpkg-old. Files that belong to an installation and not
to its configuration (fstab, machine-id, passwd and the like) are restored only if
they are named or with --all. What is replaced goes to restore-backup in the state
folder. After --apply everything is looked at again and what is not identical is
listed; what is not as planned, or stayed sealed, is exit status 1.

What comes from the server must be what the machine itself signed; the plan names
the words of its key, and --signed-by compares them. A clone of the mirror has no
signatures: whoever made it vouches for it.

Sealed files need the age identity (--identity), or an answer of the machine where
the identity is: see restore-key.`,
		Example: `  rollcall-agent restore --from pc07
  rollcall-agent restore --from pc07 --at 2026-11-20 --apply /etc/cups
  rollcall-agent restore --mirror ./elm-north/room12-pc07 --identity key.txt --apply
  rollcall-agent restore --from pc07 --root /target --state /root/restore --apply`,
		RunE: func(c *cobra.Command, args []string) error { return a.restore(c.Context(), r, args) },
	}
	f := c.Flags()
	f.StringVar(&r.from, "from", "", "name or id of the CI whose /etc is wanted")
	f.StringVar(&r.at, "at", "", "as it was then: "+cmdline.TimeForms+"; a day alone means its end")
	f.StringVar(&r.mirror, "mirror", "", "the machine's folder in a checked-out clone of the git mirror")
	f.StringVar(&r.identity, "identity", "", "file with the age identity that opens sealed files; asked for on a terminal")
	f.StringVar(&r.sealedOut, "sealed-out", "", "write a request for the sealed files to this file, for rollcall-recovery rewrap")
	f.StringVar(&r.sealedIn, "sealed-in", "", "the answer to that request")
	f.StringVar(&r.signedBy, "signed-by", "", "words of the key that must have signed it (rollcall ci show NAME told them)")
	f.BoolVar(&r.unsigned, "unsigned", false, "take also what no signature of the machine vouches for, as when its report is not kept any more")
	f.StringVar(&r.login, "login", "", "file with an operator's login token (default: that of rollcall login)")
	f.BoolVar(&r.apply, "apply", false, "do what the plan says")
	f.BoolVar(&r.all, "all", false, "also this machine's own files, and old files over newer defaults")
	f.BoolVar(&r.remove, "delete", false, "remove what is here and not in the source")
	f.BoolVar(&r.same, "same", false, "also list what is the same and what is only here")
	f.BoolVar(&r.noDiff, "no-diff", false, "print no differences of texts")
	f.BoolVar(&r.asJSON, "json", false, "print JSON")
	return c
}

func (a *app) restore(ctx context.Context, r restoring, paths []string) error {
	switch {
	case (r.from == "") == (r.mirror == ""):
		return cmdline.Usagef("restore needs --from CI or --mirror DIR")
	case r.mirror != "" && r.at != "":
		return cmdline.Usagef("--at goes with --from; in a clone check out the commit of that time")
	}
	if err := r.checkSealed(); err != nil {
		return err
	}
	for _, p := range paths {
		if !strings.HasPrefix(filepath.Clean("/"+p)+"/", "/etc/") {
			return cmdline.Usagef("%s is not below /etc", p)
		}
	}
	at, err := cmdline.ParseTime("at", r.at, time.Now(), cmdline.End)
	if err != nil {
		return err
	}
	a.stateInRoot()
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(cfg.Root)
	if err != nil {
		return fmt.Errorf("open root: %w", err)
	}
	defer root.Close()
	if err := a.encloseRestore(r, cfg); err != nil {
		return err
	}
	src, ctx, done, err := a.source(ctx, r, at)
	if err != nil {
		return err
	}
	defer done()
	opt := restore.Options{Paths: paths, All: r.all, Delete: r.remove}
	if r.sealedOut != "" {
		return a.ask(ctx, r, src, opt, cfg)
	}
	if r.sealedIn != "" {
		if opt.Opened, err = a.answered(r, cfg); err != nil {
			return err
		}
	}
	plan, err := a.plan(ctx, r, src, root, opt)
	if err != nil {
		return err
	}
	if r.apply {
		return a.apply(ctx, r, plan, root, cfg)
	}
	if r.asJSON {
		return a.document(jsonPlan(plan))
	}
	if err := plan.WriteText(a.out, restore.Show{Diffs: !r.noDiff, Same: r.same}); err != nil {
		return err
	}
	fmt.Fprintln(a.err, "rollcall-agent: hint: nothing was changed; --apply does it")
	return nil
}

// encloseRestore lets the process write where a restore has to, and nowhere else,
// before it reads the first word of the source.
func (a *app) encloseRestore(r restoring, cfg agent.Config) error {
	if a.fence == nil {
		return nil
	}
	if !r.apply && r.sealedOut == "" {
		a.fence.Enclose()
		return nil
	}
	// What is replaced is kept in the state folder, and what a request was made with.
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if r.sealedOut != "" {
		a.fence.Enclose(filepath.Dir(r.sealedOut), cfg.State)
		return nil
	}
	a.fence.Enclose(filepath.Join(cfg.Root, "etc"), cfg.State)
	return nil
}

// source opens the clone, or a session with the server.
func (a *app) source(ctx context.Context, r restoring, at time.Time) (restore.Source, context.Context, func(), error) {
	if r.mirror != "" {
		return restore.Clone{Dir: r.mirror}, ctx, func() {}, nil
	}
	token, err := loginToken(r.login)
	if err != nil {
		return nil, nil, nil, err
	}
	client := uplink.Client{Addresses: token.URLs, Pins: token.Pins, Timeout: time.Hour}
	session, err := client.Connect(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	done := func() {
		if err := session.Close(); err != nil {
			fmt.Fprintf(a.err, "rollcall-agent: %v\n", err)
		}
	}
	return restore.Remote{Session: session, CI: r.from, At: at, Unsigned: r.unsigned}, uplink.Authorized(ctx, token), done, nil
}

func loginToken(file string) (identity.Token, error) {
	if file == "" {
		var err error
		if file, err = cmdline.LoginFile(os.Getenv); err != nil {
			return identity.Token{}, err
		}
	}
	return cmdline.LoadLogin(file)
}

// plan makes the plan; where sealed files need an identity and a person sits at
// a terminal, it is asked for.
func (a *app) plan(ctx context.Context, r restoring, src restore.Source, root *os.Root, opt restore.Options) (restore.Plan, error) {
	if r.identity != "" {
		text, err := conf.ReadSecret(r.identity)
		if err != nil {
			return restore.Plan{}, err
		}
		if opt.Identities, err = seal.ParseIdentities(bytes.NewReader(text)); err != nil {
			return restore.Plan{}, fmt.Errorf("%s: %w", r.identity, err)
		}
	}
	plan, err := restore.NewPlan(ctx, src, root, opt)
	if err == nil {
		err = r.checkSigner(plan.Snapshot)
	}
	in, isFile := a.in.(*os.File)
	if err != nil || r.identity != "" || r.sealedIn != "" || plan.Count(restore.Sealed) == 0 || !isFile || !term.IsTerminal(int(in.Fd())) {
		return plan, err
	}
	fmt.Fprintf(a.err, "%d files are sealed. Age identity (AGE-SECRET-KEY-…), empty to leave them: ", plan.Count(restore.Sealed))
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(a.err)
	if err != nil {
		return restore.Plan{}, fmt.Errorf("read identity: %w", err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return plan, nil
	}
	if opt.Identities, err = seal.ParseIdentities(bytes.NewReader(text)); err != nil {
		return restore.Plan{}, err
	}
	return restore.NewPlan(ctx, src, root, opt)
}

// applied is what --json prints of an applied restore.
type applied struct {
	Plan     planJSON       `json:"plan"`
	Done     int            `json:"done"`
	Backup   string         `json:"backup,omitempty"`
	Failed   []failureJSON  `json:"failed"`
	Counts   map[string]int `json:"verified"`
	Findings []findingJSON  `json:"not_identical"`
}

type failureJSON struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

type findingJSON struct {
	Path  string `json:"path"`
	State string `json:"state"`
	What  string `json:"what"`
}

func (a *app) apply(ctx context.Context, r restoring, plan restore.Plan, root *os.Root, cfg agent.Config) error {
	backup := filepath.Join(cfg.State, "restore-backup", time.Now().UTC().Format("20060102T150405.000Z"))
	res, err := restore.Apply(ctx, plan, root, backup)
	if err != nil {
		return err
	}
	findings, err := restore.Verify(ctx, plan, root)
	if err != nil {
		return err
	}
	out := applied{Plan: jsonPlan(plan), Done: res.Done, Backup: res.Backup, Counts: map[string]int{}, Failed: []failureJSON{}, Findings: []findingJSON{}}
	for _, f := range res.Failed {
		out.Failed = append(out.Failed, failureJSON{f.Path, f.Err.Error()})
	}
	for _, f := range findings {
		out.Counts[string(f.State)]++
		if f.State != restore.Identical {
			out.Findings = append(out.Findings, findingJSON{f.Path, string(f.State), f.What})
		}
	}
	if r.asJSON {
		err = a.document(out)
	} else {
		err = a.printApplied(r, plan, out)
	}
	if bad := out.Counts[string(restore.Different)]; err == nil && (len(out.Failed) > 0 || bad > 0) {
		return fmt.Errorf("%d files could not be restored and %d are not identical", len(out.Failed), bad)
	}
	if n := plan.Count(restore.Sealed); err == nil && n > 0 {
		return fmt.Errorf("%d files stay away, for they are sealed: give --identity to open them, or see restore-key", n)
	}
	return err
}

func (a *app) printApplied(r restoring, plan restore.Plan, out applied) error {
	if err := plan.WriteText(a.out, restore.Show{Diffs: !r.noDiff, Same: r.same}); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\napplied: %d entries\n", out.Done)
	if out.Backup != "" {
		fmt.Fprintf(a.out, "what was replaced is kept in %s\n", out.Backup)
	}
	for _, f := range out.Failed {
		fmt.Fprintf(a.out, "%s /%s: %s\n", a.loud("failed"), f.Path, f.Error)
	}
	for _, f := range out.Findings {
		fmt.Fprintf(a.out, "%-13s /%s  (%s)\n", f.State, f.Path, f.What)
	}
	_, err := fmt.Fprintf(a.out, "verified: %d identical, %d merged, %d not restored, %d different\n",
		out.Counts[string(restore.Identical)], out.Counts[string(restore.Merged)], out.Counts[string(restore.NotRestored)], out.Counts[string(restore.Different)])
	return err
}

type planJSON struct {
	CI       string         `json:"ci"`
	Name     string         `json:"name"`
	At       time.Time      `json:"at"`
	Revision uint64         `json:"revision"`
	SignedBy string         `json:"signed_by,omitempty"` // words of the key
	Counts   map[string]int `json:"counts"`
	Entries  []entryJSON    `json:"entries"`
}

type entryJSON struct {
	Path         string `json:"path"`
	Action       string `json:"action"`
	Reason       string `json:"reason,omitempty"`
	OwnerMissing string `json:"owner_missing,omitempty"`
	Diff         string `json:"diff,omitempty"`
}

func jsonPlan(p restore.Plan) planJSON {
	out := planJSON{CI: p.Snapshot.CI, Name: p.Snapshot.Name, At: p.Snapshot.At.UTC(), Revision: p.Snapshot.Revision, Counts: map[string]int{}, Entries: []entryJSON{}}
	if p.Snapshot.Signer != nil {
		out.SignedBy = identity.Words(p.Snapshot.Signer)
	}
	for _, e := range p.Entries {
		out.Counts[string(e.Action)]++
		out.Entries = append(out.Entries, entryJSON{"/" + e.Path, string(e.Action), e.Reason, e.OwnerMissing, e.Diff})
	}
	return out
}
