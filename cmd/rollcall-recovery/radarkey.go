package main

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/seal"
)

func (a *app) radarKeyCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "radar-key",
		Short: "Make the key that finds secrets shared by machines",
		Long: `Makes a key for the shared-secret radar. Machines that have the same key (as a
file that radar_key in agent.conf names) give the same keyed fingerprint to the
same host key, keytab, TLS key or wifi password, so that 'rollcall radar' finds
what several machines share. It comes to the machines as recipients do, with the
package or the preseed. Whoever has it and the fingerprints can test guesses at
weak passwords: keep it from the server.`,
		Example: "  rollcall-recovery radar-key --out radar.key",
		Args:    cmdline.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return cmdline.Usagef("radar-key needs --out FILE")
			}
			key := make([]byte, seal.FingerprintKeySize)
			if _, err := io.ReadFull(a.random, key); err != nil {
				return fmt.Errorf("draw radar key: %w", err)
			}
			return writeNew(out, []byte(hex.EncodeToString(key)+"\n"))
		},
	}
	c.Flags().StringVar(&out, "out", "", "new file for the key")
	return c
}
