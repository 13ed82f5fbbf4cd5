package fact

import "testing"

func TestPlaceholdersAreRecognised(t *testing.T) {
	tests := []struct {
		value string
		want  bool
	}{
		{"", true},
		{"To Be Filled By O.E.M.", true},
		{"System Serial Number", true},
		{"0123456789", true},
		{"Default string", true},
		{"None", true},
		{"....", true},
		{"00000000", true},
		{"xxxxxxx", true},
		{"FFFFFFFFFFFF", true},
		{"No Asset Information", true},
		{" Not Specified ", true},
		{"Array0_PartNumber1", true},
		{"PF0TEST1", false},
		{"447E330", false},
		{"FFXYZ1", false},
		{"0", true},
		{"1024", false},
		{"None-Such Ltd", false},
	}
	for _, tt := range tests {
		if got := Placeholder(tt.value); got != tt.want {
			t.Errorf("Placeholder(%q) = %v, want %v", tt.value, got, tt.want)
		}
	}
}

func TestUUIDsThatManyMachinesShareAreRefused(t *testing.T) {
	tests := []struct {
		uuid string
		bad  bool
	}{
		{"4C4C4544-0051-4D10-8052-B4C04F303732", false},
		{"29d07f2c-4218-4287-a3ef-a6f3ac538990", false},
		{"00000000-0000-0000-0000-000000000000", true},
		{"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", true},
		{"03000200-0400-0500-0006-000700080009", true},
		{"03020100-0504-0706-0809-0a0b0c0d0e0f", false}, // unusual, but seen to differ
		{"00020003-0004-0005-0006-000700080009", true},
		{"00000000-0000-0000-0000-d05099faa835", true},
		{"Not Settable", true},
		{"", true},
	}
	for _, tt := range tests {
		if got := BadUUID(tt.uuid); got != tt.bad {
			t.Errorf("BadUUID(%q) = %v, want %v", tt.uuid, got, tt.bad)
		}
	}
}
