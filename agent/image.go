package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"rollcall/agent/spool"
	"rollcall/internal/fact"
	"rollcall/internal/identity"
)

// Image is what a boot image tells of itself, for the machines that boot it: which CI
// it is, and what the server has of it. It lies in the image and is no secret.
type Image struct {
	CI   string
	Sets map[string]fact.Set
}

// imageMagic begins the file: a line with the CI's id, then the sets as
// spool.EncodeSets gives them.
const imageMagic = "rollcall-image v1 "

// Bounds of the file and of an id.
const (
	maxImage   = 32 << 20
	maxImageCI = 128
)

// Encode gives the file.
func (i Image) Encode() ([]byte, error) {
	sets, err := spool.EncodeSets(i.Sets)
	if err != nil {
		return nil, fmt.Errorf("write image: %w", err)
	}
	return append([]byte(imageMagic+i.CI+"\n"), sets...), nil
}

// ParseImage reads what Encode wrote.
func ParseImage(b []byte) (Image, error) {
	line, rest, ok := strings.Cut(string(b), "\n")
	ci, magic := strings.CutPrefix(line, imageMagic)
	if !ok || !magic || ci == "" || len(ci) > maxImageCI || ci != fact.Name(ci) {
		return Image{}, errors.New("read image: not a file that rollcall-agent image wrote")
	}
	sets, err := spool.DecodeSets([]byte(rest))
	if err != nil {
		return Image{}, fmt.Errorf("read image: %w", err)
	}
	return Image{CI: ci, Sets: sets}, nil
}

// ReadImage reads the file. It returns fs.ErrNotExist if there is none.
func ReadImage(name string) (Image, error) {
	f, err := os.Open(name)
	if err != nil {
		return Image{}, fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxImage+1))
	if err == nil && len(b) > maxImage {
		err = fmt.Errorf("more than %d bytes", maxImage)
	}
	if err != nil {
		return Image{}, fmt.Errorf("read image %s: %w", name, err)
	}
	i, err := ParseImage(b)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return i, err
}

// ErrNotDelivered says that the server does not have the state of an image yet.
var ErrNotDelivered = errors.New("the server does not have the inventory of this image yet")

// ImageOf tells of the image whose state folder c names what the server has
// acknowledged. The error wraps ErrNotEnrolled or ErrNotDelivered if it knows nothing,
// and spool.ErrBusy if an agent uses the folder.
func ImageOf(c Config) (Image, error) {
	e, err := loadEnrolment(c.State)
	if err != nil {
		return Image{}, err
	}
	s, err := spool.Open(filepath.Join(c.State, spoolDir), spool.Options{MaxBytes: int64(c.SpoolSize)})
	if err != nil {
		return Image{}, err
	}
	sets, err := s.Acknowledged()
	if err = errors.Join(err, s.Close()); err != nil {
		return Image{}, err
	}
	if e.CI == "" || len(sets) == 0 {
		return Image{}, ErrNotDelivered
	}
	return Image{CI: e.CI, Sets: sets}, nil
}

// WriteImage writes the file for others to read: it lies in an image.
func WriteImage(name string, i Image) error {
	b, err := i.Encode()
	if err != nil {
		return err
	}
	if err := identity.WriteFile(name, b); err != nil {
		return err
	}
	if err := os.Chmod(name, 0o644); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}
