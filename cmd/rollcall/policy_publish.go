package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// maxPolicy is what the server takes, in bytes.
const maxPolicy = 16 << 10

func (a *app) policyPublishCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "publish FILE",
		Short: "Give machines a signed policy",
		Long: `Gives the server a policy that 'rollcall-recovery policy sign' has signed. Each
machine that takes policies gets it with the answer to its next report, and uses it
from the look after that. Its version has to be higher than that of the one before.
Which key signed it is shown: compare its words with those that were written down
when the key was made. Machines that name another key do not take it.

It goes to all machines, and needs the role admin at all sites. It stays in the
evidence log.

As JSON: {"version", "from", "until", "key", "words", "text", "by", "published"}.`,
		Example: `  rollcall policy publish policy.signed`,
		Args:    cmdline.Exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			bundle, err := readBounded(args[0])
			if err != nil {
				return err
			}
			return a.ask(func(s *server) error {
				reply, err := s.PublishPolicy(c.Context(), &rollcallv1.PublishPolicyRequest{Bundle: bundle})
				switch {
				case err != nil:
					return fmt.Errorf("publish policy: %w", err)
				case asJSON:
					return a.document(policyOf(reply.GetPolicy()))
				}
				p := reply.GetPolicy()
				a.out.line("published: policy %d, from %s until %s", p.GetVersion(), a.moment(time.UnixMilli(p.GetFromMs())), a.moment(time.UnixMilli(p.GetUntilMs())))
				a.out.line("signed by  %s", p.GetKey())
				a.out.line("words      %s", p.GetWords())
				return nil
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// readBounded reads a file that may hold a policy; what is too long for one is left
// to the server to refuse.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	return b, nil
}
