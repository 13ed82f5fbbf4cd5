package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/evidence"
	"rollcall/server/proof"
)

func (a *app) logLeavesCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "leaves",
		Short: "Fetch all leaves of the log into a file, and check them",
		Long: `Fetches all leaves of the log, up to the newest checkpoint, into a new file, and
checks that they are those that the server has signed. A leaf tells what kind of
thing was recorded, when, and about which CI; what was in it cannot be told from it.
'rollcall verify --leaves FILE' uses the file. It needs the role auditor, everywhere.`,
		Example: "  rollcall log leaves --out all.leaves",
		Args:    cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				return cmdline.Usagef("log leaves: --out FILE is missing: the file that is to hold them")
			}
			return a.ask(func(s *server) error { return a.fetchLeaves(c.Context(), s, out) })
		},
	}
	c.Flags().StringVar(&out, "out", "", "write the leaves into this new `FILE`")
	return c
}

func (a *app) fetchLeaves(ctx context.Context, s *server, out string) error {
	doc, err := s.logState(ctx)
	if err == nil && doc.Checkpoint == "" {
		err = errors.New("the server has signed no checkpoint yet: try again in a minute")
	}
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return cmdline.Hinted(fmt.Errorf("write %s: it is there already", out), "choose another file, or remove it")
	}
	if err != nil {
		return fmt.Errorf("write leaves: %w", err)
	}
	root, err := s.leavesTo(ctx, f, doc.Size)
	if err == nil && root != doc.Root {
		err = fmt.Errorf("the leaves that the server gives are not the %d that it has signed", doc.Size)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("log leaves: %w", err), os.Remove(out))
	}
	a.out.line("%d leaves are in %s; their root is the one that the server has signed: %s", doc.Size, out, root)
	return nil
}

// leavesTo writes the first size leaves and returns their root.
func (s *server) leavesTo(ctx context.Context, w io.Writer, size uint64) (root string, err error) {
	file, err := proof.NewLeavesWriter(w)
	if err != nil {
		return "", err
	}
	var tree evidence.Growing
	for n := uint64(0); n < size; {
		reply, err := s.Leaves(ctx, &rollcallv1.LeavesRequest{From: n})
		if err != nil {
			return "", err
		}
		if len(reply.GetLeaves()) == 0 {
			return "", fmt.Errorf("the server gives %d leaves, it has signed %d", n, size)
		}
		for _, l := range reply.GetLeaves()[:min(uint64(len(reply.GetLeaves())), size-n)] {
			if err := file.Add(l); err != nil {
				return "", err
			}
			tree.Add(l)
			n++
		}
	}
	h, err := tree.Root()
	return h.String(), errors.Join(err, file.Flush())
}
