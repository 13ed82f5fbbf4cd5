package cmdb

import (
	"fmt"
	"strings"
)

// Site is one place in the tree municipality/school/building/room.
type Site struct {
	Path  string `json:"path"`
	Title string `json:"title,omitempty"`
}

// Unassigned is the mirror repository of CIs without a site.
const Unassigned = "unassigned"

// maxSiteDepth allows for the four levels and one more.
const maxSiteDepth = 5

// CheckSite returns an error unless path is empty or a site's path: one to five
// components of lower-case letters, digits and inner hyphens, joined by "/".
func CheckSite(path string) error {
	if path == "" {
		return nil
	}
	parts := strings.Split(path, "/")
	if len(parts) > maxSiteDepth || len(path) > 200 {
		return fmt.Errorf("site %.80q: %w: at most %d levels", path, ErrInvalid, maxSiteDepth)
	}
	for _, p := range parts {
		if p == "" || p[0] == '-' || p[len(p)-1] == '-' || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("site %.80q: %w: want municipality/school/building/room in lower-case letters, digits and hyphens", path, ErrInvalid)
		}
	}
	if path == Unassigned {
		return fmt.Errorf("site %q: %w: the name is kept for CIs without a site", path, ErrInvalid)
	}
	return nil
}

// RepoOf names the mirror repository of a site: its school, which is the first
// two components of the path.
func RepoOf(site string) string {
	if site == "" {
		return Unassigned
	}
	parts := strings.SplitN(site, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// InSite tells whether site is at or below the subtree. An empty subtree is the
// whole tree.
func InSite(site, subtree string) bool {
	return subtree == "" || site == subtree || strings.HasPrefix(site, subtree+"/")
}
