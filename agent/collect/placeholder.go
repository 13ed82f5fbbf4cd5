package collect

import "rollcall/internal/fact"

// real gives s, or "" when it is a placeholder.
func real(s string) string {
	if fact.Placeholder(s) {
		return ""
	}
	return s
}
