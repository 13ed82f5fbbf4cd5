package index

// Names and serial numbers are made of few letters: of such a value three take two
// bytes where it is a fact of its own. The column of the fact tells how many there are
// and in which case; see columns.
const (
	manyLetters = 40 // letters, digits and four marks: three are below 1<<16
	leastWord   = 4
	mostWord    = 63
	wordColumns = maxFrames + 1 // numbers of frames that stand for words, from here on
)

const (
	lowerLetters = "abcdefghijklmnopqrstuvwxyz0123456789-./_"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-./_"
)

// codes gives the place of each byte in the letters + 1.
func codes(letters string) (of [256]byte) {
	for i := range manyLetters {
		of[letters[i]] = byte(i + 1)
	}
	return of
}

var (
	letters     = [2]string{lowerLetters, upperLetters}
	letterCodes = [2][256]byte{codes(lowerLetters), codes(upperLetters)}
)

// word packs a value of few letters. frame stands for its length and case.
func word(dst, value []byte) (packed []byte, frame uint32, ok bool) {
	n := len(value)
	if n < leastWord || n > mostWord {
		return dst, 0, false
	}
	for upper := range letterCodes {
		of := &letterCodes[upper]
		if packed, ok = spell(dst, value, of); ok {
			return packed, uint32(wordColumns + 2*n + upper), true
		}
	}
	return dst, 0, false
}

func spell(dst, value []byte, of *[256]byte) ([]byte, bool) {
	for ; len(value) > 0; value = value[min(3, len(value)):] {
		sum, n := 0, min(3, len(value))
		for _, c := range value[:n] {
			if of[c] == 0 {
				return dst, false
			}
			sum = sum*manyLetters + int(of[c]) - 1
		}
		if n > 1 {
			dst = append(dst, byte(sum>>8))
		}
		dst = append(dst, byte(sum))
	}
	return dst, true
}

// wordSize tells how many bytes a word takes; ok is false for another frame.
func wordSize(frame uint32) (size int, ok bool) {
	if frame < wordColumns {
		return 0, false
	}
	n := int(frame-wordColumns) / 2
	return n/3*2 + n%3, true
}

// unword appends the value that word packed.
func unword(dst, packed []byte, frame uint32) []byte {
	n, from := int(frame-wordColumns)/2, letters[(frame-wordColumns)%2]
	for ; n > 0; n -= 3 {
		if n == 1 {
			return append(dst, from[packed[0]])
		}
		sum := int(packed[0])<<8 | int(packed[1])
		if n > 2 {
			dst = append(dst, from[sum/(manyLetters*manyLetters)])
		}
		dst = append(dst, from[sum/manyLetters%manyLetters], from[sum%manyLetters])
		packed = packed[2:]
	}
	return dst
}
