package conf

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRootStaysOutOfTheFoldersOfServices(t *testing.T) {
	for _, tt := range []struct {
		us, owner int
		want      string
	}{
		{0, 0, ""}, {1000, 1000, ""}, {1000, 0, ""}, {0, 54321, "runuser -u 54321 --"}, {0, 1, "runuser -u daemon --"},
	} {
		err := ownedBy("/var/lib/x", tt.us, tt.owner)
		if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("user %d, owner %d: %v, want %q", tt.us, tt.owner, err, tt.want)
		}
	}
	if err := CheckOwner(t.TempDir()); err != nil {
		t.Errorf("our own folder: %v", err)
	}
	if err := CheckOwner(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there is fine")
	}
}
