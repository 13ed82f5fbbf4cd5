package proof

import "testing"

func BenchmarkVerify(b *testing.B) {
	raw, trust := golden(b)
	for b.Loop() {
		f, err := Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if err := Verify(f, trust).Err(); err != nil {
			b.Fatal(err)
		}
	}
}
