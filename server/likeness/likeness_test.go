package likeness

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/fact"
)

// pc is a desk machine as its agent reports it; more is laid over it, and a value of
// "-" takes a fact away.
func pc(more map[string]string) fact.Set {
	facts := map[string]string{
		"id/hostname": "pc07", "id/virtual": "none", "id/machine-id": "7f1c0a3e5d2b4c6f8a9b0c1d2e3f4a5b",
		"id/uuid": "4c4c4544-0051-4d10-8052-b4c04f303732", "id/serial/product": "5QMR072", "id/serial/board": "/5QMR072/CN7221/", "id/serial/chassis": "5QMR072C",
		"net/eno1/kind": "ethernet", "net/eno1/device": "pci 0000:00:1f.6", "net/eno1/driver": "e1000e", "net/eno1/mac": "b8:2a:72:11:22:33", "net/eno1/permanent": "b8:2a:72:11:22:33",
		"hw/disk/sda/serial": "S3Z8NB0K123456", "ssh/hostkey/ssh-ed25519": "SHA256:pc07",
	}
	for path, value := range more {
		facts[path] = value
		if value == "-" {
			delete(facts, path)
		}
	}
	var all []fact.Fact
	for path, value := range facts {
		all = append(all, fact.Fact{Path: path, Value: value})
	}
	return fact.NewSet(all)
}

// other is another machine of the same series.
func other(more map[string]string) fact.Set {
	facts := map[string]string{
		"id/hostname": "pc08", "id/machine-id": "00112233aabbccdd00112233aabbccee", "id/uuid": "4c4c4544-0051-4d10-8053-b4c04f303733",
		"id/serial/product": "5QMR073", "id/serial/board": "/5QMR073/CN7221/", "id/serial/chassis": "5QMR073C",
		"net/eno1/mac": "b8:2a:72:44:55:66", "net/eno1/permanent": "b8:2a:72:44:55:66", "hw/disk/sda/serial": "S3Z8NB0K999999", "ssh/hostkey/ssh-ed25519": "SHA256:pc08",
	}
	maps.Copy(facts, more)
	return pc(facts)
}

// dock adds a card on USB.
func dock(name, mac string, more map[string]string) map[string]string {
	facts := map[string]string{"net/" + name + "/kind": "ethernet", "net/" + name + "/device": "usb 2-1.1", "net/" + name + "/driver": "r8152", "net/" + name + "/mac": mac, "net/" + name + "/permanent": mac}
	maps.Copy(facts, more)
	return facts
}

// vm is a virtual machine.
func vm(uuid, mac string, more map[string]string) fact.Set {
	facts := map[string]string{
		"id/virtual": "kvm", "id/uuid": uuid, "id/serial/product": "-", "id/serial/board": "-", "id/serial/chassis": "-", "hw/disk/sda/serial": "-",
		"net/eno1/kind": "-", "net/eno1/device": "-", "net/eno1/driver": "-", "net/eno1/mac": "-", "net/eno1/permanent": "-",
		"net/enp1s0/kind": "ethernet", "net/enp1s0/device": "virtio virtio0", "net/enp1s0/mac": mac,
	}
	maps.Copy(facts, more)
	return pc(facts)
}

// lxc is a container, which shows the DMI of its host.
func lxc(name, mac string) fact.Set {
	return pc(map[string]string{
		"id/virtual": "lxc", "id/hostname": name, "id/machine-id": strings.Repeat(name[len(name)-1:], 31) + "a", "hw/disk/sda/serial": "S3Z8NB0K123456",
		"net/eno1/kind": "-", "net/eno1/device": "-", "net/eno1/driver": "-", "net/eno1/mac": "-", "net/eno1/permanent": "-", "ssh/hostkey/ssh-ed25519": "SHA256:" + name,
		"net/eth0/kind": "veth", "net/eth0/mac": mac,
	})
}

// What others met in the field: each case names the thread where somebody's
// inventory got it wrong.
func TestWhatIsOneMachineAndWhatIsTwo(t *testing.T) {
	const junk = "03000200-0400-0500-0006-000700080009"
	tests := []struct {
		name   string
		thread string
		a, b   fact.Set
		many   []string // values that more than Promiscuous CIs show
		want   Verdict
		says   string // in the sentence
		not    string
	}{
		{"installed anew: another machine-id, key and name", "fleet#18645", pc(nil), pc(map[string]string{"id/hostname": "debian", "id/machine-id": "aaaabbbbccccddddeeeeffff00001111", "ssh/hostkey/ssh-ed25519": "SHA256:new"}), nil, One, "the same serial number", ""},
		{"renamed", "OCS UnixAgent#112", pc(nil), pc(map[string]string{"id/hostname": "library-3"}), nil, One, "the same permanent MAC", ""},
		{"the neighbour of the same series", "", pc(nil), other(nil), nil, Two, "another serial number of the board", "copied"},
		{"a disk that was copied to the neighbour", "MeshCentral#608", pc(nil), other(map[string]string{"id/hostname": "pc07", "id/machine-id": "7f1c0a3e5d2b4c6f8a9b0c1d2e3f4a5b", "ssh/hostkey/ssh-ed25519": "SHA256:pc07"}), nil, Two, "one disk was copied", ""},
		{"a disk that moved to the neighbour", "", pc(nil), other(map[string]string{"id/hostname": "pc07", "id/machine-id": "7f1c0a3e5d2b4c6f8a9b0c1d2e3f4a5b", "ssh/hostkey/ssh-ed25519": "SHA256:pc07", "hw/disk/sda/serial": "S3Z8NB0K123456"}), nil, Two, "the same serial number of a disk", ""},
		{"a new board in the old case", "", pc(nil), pc(map[string]string{"id/uuid": "11112222-3333-4444-5555-666677778888", "id/serial/board": "NEW0001", "net/eno1/mac": "b8:2a:72:77:77:77", "net/eno1/permanent": "b8:2a:72:77:77:77"}), nil, Unclear, "another serial number of the board", ""},
		{"a firmware that made up a UUID", "", pc(nil), pc(map[string]string{"id/uuid": "11112222-3333-4444-5555-666677778888"}), nil, Likely, "another SMBIOS UUID", ""},
		{"two laptops on one dock", "fog#518", pc(dock("enx00e04c680001", "00:e0:4c:68:00:01", nil)), other(dock("enx00e04c680001", "00:e0:4c:68:00:01", nil)), nil, Two, "", "the same permanent MAC"},
		{"thin laptops that have no card but the dock", "OCS WindowsAgent#87", vm("", "", map[string]string{"id/virtual": "none", "id/uuid": "-", "net/enp1s0/mac": "-", "net/enp1s0/kind": "-", "net/enp1s0/device": "-", "net/enx1/mac": "00:e0:4c:68:00:01"}), vm("", "", map[string]string{"id/virtual": "none", "id/uuid": "-", "id/hostname": "pc99", "id/machine-id": "-", "ssh/hostkey/ssh-ed25519": "-", "net/enp1s0/mac": "-", "net/enp1s0/kind": "-", "net/enp1s0/device": "-", "net/enx1/mac": "00:e0:4c:68:00:01"}), nil, Unclear, "nothing that identifies", ""},
		{"a dock that passes the address of its laptop through", "cloud-init#7097", pc(dock("eth1", "b8:2a:72:11:22:33", nil)), pc(nil), nil, One, "the same permanent MAC", ""},
		{"Bluetooth adapters of one make", "OCS reports#1440", pc(map[string]string{"net/bnep0/kind": "bluetooth", "net/bnep0/mac": "00:11:22:33:44:55"}), other(map[string]string{"net/bnep0/kind": "bluetooth", "net/bnep0/mac": "00:11:22:33:44:55"}), nil, Two, "", "the same MAC"},
		{"a UUID that a vendor left as it was", "fleet#11072", pc(map[string]string{"id/uuid": junk}), other(map[string]string{"id/uuid": junk}), nil, Two, "", "the same SMBIOS UUID"},
		{"a serial number that a vendor left as it was", "glpi#16799", pc(map[string]string{"id/serial/product": "To be filled by O.E.M."}), other(map[string]string{"id/serial/product": "To be filled by O.E.M."}), nil, Two, "", "the same serial number,"},
		{"a serial number that a whole series has", "fusioninventory-for-glpi#697", pc(map[string]string{"id/serial/product": "SERIES-1"}), other(map[string]string{"id/serial/product": "SERIES-1"}), []string{"SERIES-1"}, Two, "", "the same serial number,"},
		{"containers on one host", "fleet#8021", lxc("web1", "00:16:3e:00:00:01"), lxc("web2", "00:16:3e:00:00:02"), nil, Unclear, "", "the same SMBIOS UUID"},
		{"a container and its host", "fleet#8021", pc(nil), lxc("web1", "00:16:3e:00:00:01"), nil, Unclear, "", "the same serial number"},
		{"virtual machines that were cloned", "doc-caasp#623", vm("aaaa0000-1111-2222-3333-444455556666", "52:54:00:aa:00:01", nil), vm("bbbb0000-1111-2222-3333-444455556666", "52:54:00:aa:00:02", nil), nil, Unclear, "the same machine-id", ""},
		{"a virtual machine installed anew", "", vm("aaaa0000-1111-2222-3333-444455556666", "52:54:00:aa:00:01", nil), vm("aaaa0000-1111-2222-3333-444455556666", "52:54:00:aa:00:01", map[string]string{"id/machine-id": "aaaabbbbccccddddeeeeffff00001111", "ssh/hostkey/ssh-ed25519": "SHA256:new"}), nil, One, "the same SMBIOS UUID", ""},
		{"LTSP's machine-id", "", vm("", "", map[string]string{"id/uuid": "-", "id/virtual": "none", "net/enp1s0/mac": "-", "net/enp1s0/kind": "-", "net/enp1s0/device": "-", "id/hostname": "ltsp", "ssh/hostkey/ssh-ed25519": "-", "id/machine-id": "b82a72112233" + strings.Repeat("0", 20)}), pc(map[string]string{"id/machine-id": "b82a72112233" + strings.Repeat("0", 20)}), nil, Unclear, "nothing that identifies", ""},
		{"a bond that shows the address of its card", "fusion#640", pc(map[string]string{"net/bond0/kind": "bond", "net/bond0/mac": "b8:2a:72:11:22:33"}), other(map[string]string{"net/bond0/kind": "bond", "net/bond0/mac": "b8:2a:72:11:22:33"}), nil, Two, "", "the same MAC"},
		{"an address that a phone makes up", "", pc(map[string]string{"net/wlan9/kind": "wireless", "net/wlan9/mac": "da:a1:19:00:00:01"}), other(map[string]string{"net/wlan9/kind": "wireless", "net/wlan9/mac": "da:a1:19:00:00:01"}), nil, Two, "", "the same MAC"},
		{"a card that a boot server saw", "", fact.NewSet([]fact.Fact{{Path: "net/seen/mac", Value: "b8:2a:72:11:22:33"}}), pc(nil), nil, Likely, "the same permanent MAC", ""},
		{"nothing known of one", "fleet#20168", fact.Set{}, pc(nil), nil, Unclear, "nothing that identifies", ""},
	}
	for _, tt := range tests {
		holders := func(tr Trait) (int, error) {
			if slices.Contains(tt.many, tr.Value) {
				return Promiscuous + 1, nil
			}
			return 2, nil
		}
		for _, turned := range []bool{false, true} {
			a, b := Of(tt.a), Of(tt.b)
			if turned {
				a, b = b, a
			}
			j, err := Judge(a, b, holders)
			if err != nil {
				t.Fatal(err)
			}
			s := j.Sentence()
			if j.Verdict != tt.want || !strings.Contains(s, tt.says) || tt.not != "" && strings.Contains(s, tt.not) {
				t.Errorf("%s (%s): %q with %d points, want %q with %q and not %q", tt.name, tt.thread, s, j.Points, tt.want, tt.says, tt.not)
			}
		}
	}
}

func TestWhatSaysNothingIsToldWithTheReason(t *testing.T) {
	j, err := Judge(Of(pc(dock("enx1", "00:e0:4c:68:00:01", nil))), Of(pc(dock("enx1", "00:e0:4c:68:00:01", nil))), func(Trait) (int, error) { return 2, nil })
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(j.Pieces, func(p Piece) bool { return strings.Contains(p.Why, "plugged in") })
	if i < 0 || j.Pieces[i].Points != 0 {
		t.Errorf("pieces are %+v, want one that tells of the dock and counts nothing", j.Pieces)
	}
	for n, p := range j.Pieces[1:] {
		if order(p) < order(j.Pieces[n]) {
			t.Errorf("piece %q comes after %q, want those that count first", p.Why, j.Pieces[n].Why)
		}
	}
}

func TestAnErrorOfCountingIsReturned(t *testing.T) {
	bad := errors.New("no index")
	if _, err := Judge(Of(pc(nil)), Of(pc(nil)), func(Trait) (int, error) { return 0, bad }); !errors.Is(err, bad) {
		t.Errorf("Judge: %v, want %v", err, bad)
	}
}

// FuzzJudge: whatever machines say of themselves, the judgement is the same from both
// sides and stays small.
func FuzzJudge(f *testing.F) {
	f.Add("id/uuid", "4c4c4544-0051-4d10-8052-b4c04f303732", "net/eno1/mac", "b8:2a:72:11:22:33", "id/hostname", "PC07")
	f.Add("net//mac", "x", "net/a/permanent", "02:00:00:00:00:01", "ssh/hostkey/x", "")
	f.Fuzz(func(t *testing.T, p1, v1, p2, v2, p3, v3 string) {
		a := Of(fact.NewSet([]fact.Fact{{Path: p1, Value: v1}, {Path: p2, Value: v2}}))
		b := Of(fact.NewSet([]fact.Fact{{Path: p1, Value: v3}, {Path: p3, Value: v2}}))
		two := func(Trait) (int, error) { return 2, nil }
		ab, err := Judge(a, b, two)
		if err != nil {
			t.Fatal(err)
		}
		ba, err := Judge(b, a, two)
		if err != nil {
			t.Fatal(err)
		}
		if ab.Verdict != ba.Verdict || ab.Points != ba.Points || len(ab.Pieces) > mostPieces {
			t.Errorf("%+v from one side, %+v from the other", ab, ba)
		}
	})
}
