package agent

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"rollcall/internal/seal"
)

// TestClass34LocalExposureOfTheStateFolder lets the user nobody look at all that
// an agent keeps: its key, the spool, ciphertexts, caches, the restore key.
func TestClass34LocalExposureOfTheStateFolder(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to look as another user")
	}
	parent, err := os.MkdirTemp("/tmp", "rc-exposure-")
	must(t, err)
	defer os.RemoveAll(parent)
	must(t, os.Chmod(parent, 0o755)) // everybody gets as far as the state folder
	m := newMachine(t)
	m.cfg.State = filepath.Join(parent, "state")
	_, public := seal.GenerateIdentity()
	m.cfg.Recipients = []string{public}
	_, err = Enrol(t.Context(), m.cfg, "test", m.srv.token(t), m.deps.Dial)
	must(t, err)
	m.srv.setAway(true) // reports and contents wait on disk
	a := m.open()
	_, err = a.Once(t.Context(), "test")
	must(t, err)
	must(t, a.Close())
	_, _, err = RestoreKey(m.cfg)
	must(t, err)
	must(t, KeepRestoreNonce(m.cfg, []byte("nonce")))

	files := 0
	must(t, filepath.WalkDir(m.cfg.State, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.Type().IsRegular() {
			files++
		}
		if info.Mode().Perm()&0o077 != 0 || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		for _, how := range [][]string{{"cat", name}, {"ls", "-la", name}, {"stat", name}} {
			if name == m.cfg.State && how[0] == "stat" {
				continue // that there is a folder, everybody may see
			}
			c := exec.Command(how[0], how[1:]...)
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			c.Dir = "/"
			if out, err := c.Output(); err == nil || len(strings.TrimSpace(string(out))) > 0 && name != m.cfg.State {
				t.Errorf("nobody can %s %s: %q, %v", how[0], name, out, err)
			}
		}
		return nil
	}))
	if files < 8 {
		t.Errorf("only %d files in the state folder: is there nothing to look at?", files)
	}
}
