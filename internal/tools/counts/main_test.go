package main

import (
	"strings"
	"testing"
)

func TestCounts(t *testing.T) {
	tests := []struct {
		name, in string
		ok       bool
		last     string
		contains []string
	}{
		{"nothing is a failure", "", false, "0 passed, 0 failed, 0 skipped", nil},
		{
			"a package passes", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.25}`, true, "1 passed, 0 failed, 0 skipped",
			[]string{"ok    p  1.2s, 1 passed, 0 skipped\n"},
		},
		{
			"subtests count instead of their parents", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"run","Package":"p","Test":"TestA/x/y"}
{"Action":"run","Package":"p","Test":"TestA/z"}
{"Action":"pass","Package":"p","Test":"TestA/x/y"}
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"pass","Package":"p","Test":"TestA/z"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`, true, "2 passed, 0 failed, 0 skipped", nil,
		},
		{
			"a failure is printed in full and counted once", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"output","Package":"p","Test":"TestA/x","Output":"    a_test.go:3: got 1\n"}
{"Action":"output","Package":"p","Test":"TestA/x","Output":"        want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, false, "0 passed, 1 failed, 0 skipped",
			[]string{"--- p TestA/x\n    a_test.go:3: got 1\n        want 2\n", "FAIL  p"},
		},
		{
			"a parent may fail by itself", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, false, "1 passed, 1 failed, 0 skipped", nil,
		},
		{
			"a skip tells its reason", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: age is not installed\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`, false, "0 passed, 0 failed, 1 skipped",
			[]string{"skip  p TestA: a_test.go:3: age is not installed\n"},
		},
		{
			"a package that does not build is a failure", `{"ImportPath":"p","Action":"build-output","Output":"# p\n"}
{"ImportPath":"p","Action":"build-output","Output":"p.go:1:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
{"Action":"run","Package":"q","Test":"TestA"}
{"Action":"pass","Package":"q","Test":"TestA"}
{"Action":"pass","Package":"q"}`, false, "1 passed, 1 failed, 0 skipped",
			[]string{"p.go:1:1: syntax error\n", "FAIL\tp [build failed]\n"},
		},
		{
			"a test that never ends is shown", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}`, false, "0 passed, 1 failed, 0 skipped", []string{"--- p TestA\npanic: test timed out\n"},
		},
		{
			"a package without an end is a failure", `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}`, false, "0 passed, 1 failed, 0 skipped", []string{"its end is missing"},
		},
		{
			"a package without tests says so", `{"Action":"skip","Package":"p"}
ld: warning
{"Action":"run","Package":"q","Test":"TestA"}
{"Action":"pass","Package":"q","Test":"TestA"}
{"Action":"pass","Package":"q"}`, true, "1 passed, 0 failed, 0 skipped", []string{"--    p  no tests\n", "ld: warning\n"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			ok, err := run(strings.NewReader(tt.in), &out)
			got := out.String()
			if ok != tt.ok || err != nil {
				t.Errorf("got %v, %v, want %v", ok, err, tt.ok)
			}
			if !strings.HasSuffix(got, "\n"+tt.last+"\n") {
				t.Errorf("got %s\nwant %s at the end", got, tt.last)
			}
			for _, want := range tt.contains {
				if !strings.Contains(got, want) {
					t.Errorf("got %s\nwant %q in it", got, want)
				}
			}
		})
	}
}
