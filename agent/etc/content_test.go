package etc

import (
	"crypto/sha256"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

func TestALargeContentIsReadIntoItsOwnSize(t *testing.T) {
	tr := newTree(t)
	for _, size := range []int{0, 1, 511, 512, 1 << 20} {
		content := strings.Repeat("x", size)
		tr.write("large", content)
		b, err := tr.scanner().Read(Content{Path: "large", Digest: fact.Digest(sha256.Sum256([]byte(content)))})
		if err != nil || string(b) != content {
			t.Fatalf("%d bytes: got %d, %v", size, len(b), err)
		}
		if over := cap(b) - size; over > 16<<10 {
			t.Errorf("%d bytes: %d more are taken", size, over)
		}
	}
}
