package main

import (
	"errors"
	"strings"
)

// The private keys of age are 32 bytes in Bech32 (BIP 173, without its limit of
// 90 characters): prefix, "1", five bits a character, six characters of checksum.
// Shares hold the bytes alone, which are half as long to type.

const bech32Letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

func bech32Checksum(prefix string, digits []byte) uint32 {
	sum := uint32(1)
	step := func(v byte) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for _, c := range []byte(prefix) {
		step(c >> 5)
	}
	step(0)
	for _, c := range []byte(prefix) {
		step(c & 31)
	}
	for _, d := range digits {
		step(d)
	}
	return sum
}

// bech32Encode writes bytes in lower case.
func bech32Encode(prefix string, data []byte) string {
	var digits []byte
	bits, n := uint32(0), 0
	for _, b := range data {
		bits, n = bits<<8|uint32(b), n+8
		for ; n >= 5; n -= 5 {
			digits = append(digits, byte(bits>>(n-5)&31))
		}
	}
	if n > 0 {
		digits = append(digits, byte(bits<<(5-n)&31))
	}
	sum := bech32Checksum(prefix, append(digits[:len(digits):len(digits)], 0, 0, 0, 0, 0, 0)) ^ 1
	for i := range 6 {
		digits = append(digits, byte(sum>>(5*(5-i))&31))
	}
	var b strings.Builder
	b.WriteString(prefix + "1")
	for _, d := range digits {
		b.WriteByte(bech32Letters[d])
	}
	return b.String()
}

// bech32Decode reads text in lower or upper case. Its errors hold none of it.
func bech32Decode(text string) (prefix string, data []byte, err error) {
	lower := strings.ToLower(text)
	if lower != text && strings.ToUpper(text) != text {
		return "", nil, errors.New("upper and lower case are mixed")
	}
	at := strings.LastIndexByte(lower, '1')
	if at < 1 || len(lower)-at < 7 {
		return "", nil, errors.New("not a key")
	}
	prefix = lower[:at]
	var digits []byte
	for _, c := range []byte(lower[at+1:]) {
		d := strings.IndexByte(bech32Letters, c)
		if d < 0 {
			return "", nil, errors.New("a character that no key has")
		}
		digits = append(digits, byte(d))
	}
	if bech32Checksum(prefix, digits) != 1 {
		return "", nil, errors.New("the checksum does not fit")
	}
	bits, n := uint32(0), 0
	for _, d := range digits[:len(digits)-6] {
		bits, n = bits<<5|uint32(d), n+5
		if n >= 8 {
			n -= 8
			data = append(data, byte(bits>>n))
		}
	}
	if n >= 5 || bits&(1<<n-1) != 0 {
		return "", nil, errors.New("the end is not filled with zeros")
	}
	return prefix, data, nil
}
