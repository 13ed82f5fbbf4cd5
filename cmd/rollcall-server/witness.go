package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	rollcallv1 "rollcall/proto/rollcall/v1"
	"rollcall/server/witness"
)

// watching are the flags of the witness.
type watching struct {
	login, dir, name, accept string
	every                    time.Duration
	once, key                bool
}

func witnessCommand() *cobra.Command {
	w := &watching{}
	c := &cobra.Command{
		Use:   "witness",
		Short: "Watch the log of another server, and cosign it as long as it only grows",
		Long: `Runs on any other machine, such as an auditor's laptop, with a login of role
auditor for the server that is watched. It keeps the newest checkpoint of that
server's log in a folder of its own, demands a proof that a newer one grew out of
it, cosigns that and hands the cosignature back, so that 'rollcall verify
--witness' can tell that everybody is shown the same log.

On the first start it makes its key and prints the verifier key, which whoever
verifies proofs must get from you, not from the server.

A log that was rolled back, that forks, or that has another key is an ALARM: the
exit status is 1, both checkpoints are kept in the folder as alarm.json, and
nothing is cosigned until you have looked and decided with --accept REASON, as
after the server was restored from a backup.

Without --once it goes on until told to stop; that the server cannot be reached is
then a line on standard error, and tried again.`,
		Example: `  rollcall-server witness --login auditor.login --dir ~/rollcall-witness --name auditor --once
  rollcall-server witness --login auditor.login --dir ~/rollcall-witness --every 10m
  rollcall-server witness --dir ~/rollcall-witness --login auditor.login --key
  rollcall-server witness --dir ~/rollcall-witness --login auditor.login --accept "restored from the backup of Monday"`,
		Args: cmdline.Exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return w.run(c) },
	}
	c.Flags().StringVar(&w.login, "login", "", "`FILE` of the login, instead of the one of 'rollcall login'")
	c.Flags().StringVar(&w.dir, "dir", "/var/lib/rollcall-witness", "`FOLDER` of the witness")
	c.Flags().StringVar(&w.name, "name", "", "what the witness is called, when it is made; else this machine's name")
	c.Flags().BoolVar(&w.once, "once", false, "look once")
	c.Flags().DurationVar(&w.every, "every", 10*time.Minute, "look every `DURATION`")
	c.Flags().BoolVar(&w.key, "key", false, "only print the verifier key")
	c.Flags().StringVar(&w.accept, "accept", "", "end an alarm, for this `REASON`")
	return c
}

func (w *watching) run(c *cobra.Command) error {
	if w.every < time.Second {
		return cmdline.Usagef("witness: --every %s is too short: want a second or more", w.every)
	}
	login, err := w.token()
	if err != nil {
		return err
	}
	name := w.name
	if _, err := os.Stat(w.dir); name == "" && errors.Is(err, os.ErrNotExist) {
		if name, err = os.Hostname(); err != nil {
			return fmt.Errorf("witness: name of this machine: %w", err)
		}
	}
	wit, made, err := witness.Open(w.dir, name, login.Server, time.Now)
	if err != nil {
		return err
	}
	key, err := wit.Key()
	if err != nil {
		return err
	}
	if made {
		fmt.Fprintln(c.ErrOrStderr(), "witness made; give this key to those who verify proofs: rollcall verify --witness KEY")
	}
	if made || w.key {
		fmt.Fprintln(c.OutOrStdout(), key)
	}
	switch {
	case w.key:
		return nil
	case c.Flags().Changed("accept"):
		if err := wit.Accept(w.accept); err != nil {
			return err
		}
		fmt.Fprintln(c.ErrOrStderr(), "accepted; the next checkpoint is taken as a beginning")
		return nil
	}
	return w.watch(c, wit, login)
}

func (w *watching) token() (identity.Token, error) {
	name := w.login
	if name == "" {
		var err error
		if name, err = cmdline.LoginFile(os.Getenv); err != nil {
			return identity.Token{}, err
		}
	}
	return cmdline.LoadLogin(name)
}

func (w *watching) watch(c *cobra.Command, wit *witness.Witness, login identity.Token) error {
	conn, err := dial(login)
	if err != nil {
		return err
	}
	defer conn.Close() // every answer has been read
	log := rollcallv1.NewEvidenceClient(conn)
	for {
		err := look(c.Context(), wit, log, c.OutOrStdout())
		if c.Context().Err() != nil {
			return nil
		}
		if w.once || errors.Is(err, witness.ErrAlarm) {
			return err
		}
		if err != nil {
			cmdline.Complain(c.ErrOrStderr(), "rollcall-server", err, "")
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-time.After(w.every):
		}
	}
}

func look(ctx context.Context, wit *witness.Witness, log rollcallv1.EvidenceClient, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	seen, err := wit.Look(ctx, log)
	if err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	at := time.Now().UTC().Format(time.RFC3339)
	if !seen.Cosigned {
		fmt.Fprintf(out, "%s: the server has signed no checkpoint yet\n", at)
		return nil
	}
	fmt.Fprintf(out, "%s: %d leaves, %d more than before: cosigned\n", at, seen.Size, seen.Grown)
	return nil
}

// dial connects to the server that a login leads to, by its pinned key.
func dial(login identity.Token) (*grpc.ClientConn, error) {
	tls, err := identity.ClientTLS(login.Pins, nil)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///rollcall",
		grpc.WithTransportCredentials(credentials.NewTLS(tls)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var errs []error
			for _, address := range login.URLs {
				conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
				if err == nil {
					return conn, nil
				}
				errs = append(errs, err)
			}
			return nil, errors.Join(errs...)
		}),
		grpc.WithPerRPCCredentials(shown("Bearer "+login.ID+":"+hex.EncodeToString(login.Secret))),
		grpc.WithUserAgent("rollcall-server witness/"+version),
	)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// shown is a login as each call shows it; the library sends it over TLS only.
type shown string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (s shown) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(s)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (shown) RequireTransportSecurity() bool { return true }
