package main

import (
	"errors"
	"fmt"
	"io"
)

// A secret is split as A. Shamir describes it ("How to share a secret",
// Communications of the ACM 22, 1979): each of its bytes is the value at 0 of a
// polynomial of degree k-1 with random coefficients; a share holds the values at
// one other place. k of them determine it, and k-1 say nothing about it. The
// field is GF(2^8) of FIPS 197 section 4.

// mul multiplies in the field. It takes the same steps whatever the operands are.
func mul(a, b byte) byte {
	var product byte
	for range 8 {
		product ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7) // x^8 = x^4 + x^3 + x + 1
		b >>= 1
	}
	return product
}

// inverse returns 1/a, which is a^254; that of 0 is 0.
func inverse(a byte) byte {
	r := a
	for range 6 { // a^2 … a^127
		r = mul(mul(r, r), a)
	}
	return mul(r, r)
}

// point is the values of all polynomials at one place.
type point struct {
	x byte // not 0
	y []byte
}

// splitSecret returns n points, any k of which give the secret.
func splitSecret(secret []byte, k, n int, random io.Reader) ([]point, error) {
	if k < 2 || n < k || n > 255 {
		return nil, fmt.Errorf("%d of %d shares: want at least 2, of at most 255", k, n)
	}
	coefficients := make([]byte, len(secret)*(k-1))
	if _, err := io.ReadFull(random, coefficients); err != nil {
		return nil, fmt.Errorf("draw shares: %w", err)
	}
	defer clear(coefficients)
	points := make([]point, n)
	for i := range points {
		points[i] = point{byte(i + 1), make([]byte, len(secret))}
		for j, s := range secret {
			var y byte
			for _, c := range coefficients[j*(k-1) : (j+1)*(k-1)] {
				y = mul(y^c, points[i].x)
			}
			points[i].y[j] = y ^ s
		}
	}
	return points, nil
}

// valuesAt returns the values at x of the polynomials of lowest degree that go
// through the points (Lagrange). At 0 that is the secret.
func valuesAt(x byte, points []point) ([]byte, error) {
	if len(points) == 0 {
		return nil, errors.New("no shares")
	}
	out := make([]byte, len(points[0].y))
	for i, p := range points {
		weight := byte(1)
		for j, q := range points {
			if i == j {
				continue
			}
			if p.x == q.x || len(p.y) != len(q.y) {
				return nil, errors.New("two shares for one place, or of different lengths")
			}
			weight = mul(weight, mul(x^q.x, inverse(p.x^q.x)))
		}
		for j, y := range p.y {
			out[j] ^= mul(weight, y)
		}
	}
	return out, nil
}
