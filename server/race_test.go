//go:build race

package server

// raced: the race detector multiplies memory and time.
const raced = true
