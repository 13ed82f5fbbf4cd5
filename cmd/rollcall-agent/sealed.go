package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"rollcall/agent"
	"rollcall/agent/restore"
	"rollcall/cmd/internal/cmdline"
	"rollcall/internal/identity"
	"rollcall/internal/seal"
)

// checkSealed judges the flags about sealed files.
func (r restoring) checkSealed() error {
	switch {
	case r.sealedOut != "" && (r.sealedIn != "" || r.identity != "" || r.apply):
		return cmdline.Usagef("--sealed-out only asks; --sealed-in, --identity and --apply come afterwards")
	case r.sealedIn != "" && r.identity != "":
		return cmdline.Usagef("--sealed-in or --identity, not both")
	}
	return nil
}

// checkSigner compares the key that signed with the one that was asked for.
func (r restoring) checkSigner(s restore.Snapshot) error {
	want := strings.Join(strings.FieldsFunc(strings.ToLower(r.signedBy), func(c rune) bool { return c == ' ' || c == '-' }), "-")
	switch {
	case want == "":
		return nil
	case s.Signer == nil:
		return fmt.Errorf("--signed-by: %w", restore.ErrUnsigned)
	case identity.Words(s.Signer) != want:
		return fmt.Errorf("--signed-by: it is signed by another key, %s", identity.Words(s.Signer))
	}
	return nil
}

// ask writes a request for the sealed files that the restore needs.
func (a *app) ask(ctx context.Context, r restoring, src restore.Source, opt restore.Options, cfg agent.Config) error {
	to, err := seal.ParseRecipients(cfg.Recipients)
	if err != nil {
		return fmt.Errorf("recipients: %w", err)
	}
	if to.Len() == 0 {
		return cmdline.Hinted(errors.New("--sealed-out: no recipient is configured here, so nobody could prove that an answer is his"),
			"put the recipient lines of the school into agent.conf")
	}
	_, target, err := agent.RestoreKey(cfg)
	if err != nil {
		return err
	}
	request, nonce, err := seal.NewRequest(target, to, rand.Reader)
	if err != nil {
		return err
	}
	snap, files, err := restore.Ciphertexts(ctx, src, opt)
	if err != nil {
		return err
	}
	if err := r.checkSigner(snap); err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("--sealed-out: no sealed file is needed; named files and --all count as in the restore itself")
	}
	request.CI, request.Name, request.Files = snap.CI, snap.Name, files
	text, err := request.Encode()
	if err != nil {
		return err
	}
	if err := agent.KeepRestoreNonce(cfg, nonce); err != nil {
		return err
	}
	if err := identity.WriteFile(r.sealedOut, text); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d sealed contents of %s are asked for in %s\n", len(files), snap.Name, r.sealedOut)
	fmt.Fprintf(a.out, "on the machine with the identity: rollcall-recovery rewrap --identity KEY REQUEST ANSWER, with the words\n%s\n", identity.WordsOf([]byte(target)))
	return nil
}

// answered opens the answer to the last request.
func (a *app) answered(r restoring, cfg agent.Config) (map[[32]byte][]byte, error) {
	nonce, err := agent.RestoreNonce(cfg)
	if err != nil {
		return nil, err
	}
	ids, _, err := agent.RestoreKey(cfg)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(r.sealedIn)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, seal.MaxRequest+1))
	if err != nil {
		return nil, fmt.Errorf("read answer %s: %w", r.sealedIn, err)
	}
	if len(b) > seal.MaxRequest {
		return nil, fmt.Errorf("read answer %s: larger than %d MiB", r.sealedIn, seal.MaxRequest>>20)
	}
	return seal.OpenAnswer(b, ids, nonce)
}
