// Package archtest holds no code: its test reads the sources of the whole
// module and fails where they leave the architecture. Floors and owners of
// libraries are the two tables in rules_test.go; changing the architecture
// means changing them. Generated code (*.pb.go) is free of the rules about
// size, comments and init.
package archtest
