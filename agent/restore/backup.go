package restore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"rollcall/internal/fact"
)

// backup keeps what is replaced, readable for root alone.
type backup struct {
	dir      string
	used     bool
	manifest *os.File
}

// keep copies a file or link and writes its attributes down.
func (b *backup) keep(at place, e Entry) error {
	if err := b.open(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(b.manifest, "%s\t%s\n", e.Path, *e.Have); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	switch e.Have.Kind {
	case fact.KindDir, fact.KindLink, fact.KindOther:
		return nil // the line says it all
	case fact.KindTooBig:
		if e.Action != Delete && !e.hasContent {
			return nil
		}
		return errors.New("too large for a backup: move it away by hand")
	}
	if e.Action != Delete && !e.hasContent && e.Want.Kind != fact.KindLink {
		return nil // only attributes change
	}
	return b.copy(at)
}

func (b *backup) open() error {
	if b.manifest != nil {
		return nil
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(b.dir, "manifest"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	b.manifest, b.used = f, true
	return nil
}

func (b *backup) copy(at place) error {
	if err := b.open(); err != nil {
		return err
	}
	content, err := readFile(at.dir, at.base, maxFile)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	to := filepath.Join(b.dir, filepath.FromSlash(at.name()))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

func (b *backup) close() error {
	if b.manifest == nil {
		return nil
	}
	return errors.Join(b.manifest.Sync(), b.manifest.Close())
}
