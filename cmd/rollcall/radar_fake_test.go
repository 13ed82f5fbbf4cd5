package main

import (
	"slices"
	"time"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

// shared is what the fake server says of shared secrets.
func shared(kinds []string) *rollcallv1.SharedReply {
	all := []*rollcallv1.SharedSecret{
		{
			Kind: "ssh-host-key", Secrets: 3, Machines: 2, SinceMs: ms(-50 * time.Hour), Words: "these machines were cloned from one disk or image",
			Holders: []*rollcallv1.SecretHolder{
				{Ci: "ci00112233445566778899", Name: "room12-pc07", Site: "elm/north", Paths: []string{"etc/ssh/ssh_host_ecdsa_key", "etc/ssh/ssh_host_rsa_key"}, SinceMs: ms(-90 * time.Hour)},
				{Ci: "ci11112233445566778899", Name: "room12-pc08", Site: "elm/north", Paths: []string{"etc/ssh/ssh_host_rsa_key"}, SinceMs: ms(-50 * time.Hour)},
			},
		},
		{
			Kind: "wifi", Secrets: 1, Machines: 300, Words: "one wifi password",
			Holders: []*rollcallv1.SecretHolder{{Ci: "ci00112233445566778899", Name: "room12-pc07", Paths: []string{"etc/wpa_supplicant/wpa_supplicant.conf"}}},
		},
	}
	reply := &rollcallv1.SharedReply{Machines: 400, Reporting: 390, More: true}
	for _, g := range all {
		if len(kinds) == 0 || slices.Contains(kinds, g.GetKind()) {
			reply.Groups = append(reply.Groups, g)
		}
	}
	return reply
}
