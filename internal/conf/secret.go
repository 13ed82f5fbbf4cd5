package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

const maxSecret = 64 << 10

// ReadSecret returns the exact bytes of a file that holds a key, a token or a
// password: a regular, non-empty file of at most 64 KiB that neither its group
// nor others may read or write. The mode is taken from the open file, so that
// it cannot be exchanged between the check and the reading. Errors never hold
// any of the content.
func ReadSecret(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read secret %s: mode %04o lets others in; run: chmod 0600 %s", path, mode, path)
	}
	secret, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read secret: %w", err)
	case len(secret) == 0:
		return nil, fmt.Errorf("read secret %s: the file is empty", path)
	case len(secret) > maxSecret:
		return nil, fmt.Errorf("read secret %s: larger than %s", path, Size(maxSecret))
	}
	return secret, nil
}

// openRegular opens a regular file for reading. Opening does not wait, as it
// would for the writer of a named pipe.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: not a regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
