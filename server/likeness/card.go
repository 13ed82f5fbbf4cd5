package likeness

import (
	"net"
	"strings"

	"rollcall/internal/fact"
)

// card is one network interface, as facts tell of it.
type card struct {
	name, kind, device, driver string
	mac, permanent             string
}

// cards gives the addresses of network interfaces: the permanent one where it is
// known, else the one in use.
func cards(facts fact.Set) (all []Trait) {
	var found []card
	at := map[string]int{}
	for _, f := range facts.Below("net/") {
		parts := strings.Split(f.Path, "/")
		if len(parts) != 3 {
			continue
		}
		i, ok := at[parts[1]]
		if !ok {
			i = len(found)
			at[parts[1]] = i
			found = append(found, card{name: parts[1]})
		}
		switch c := &found[i]; parts[2] {
		case "kind":
			c.kind = f.Value
		case "device":
			c.device = f.Value
		case "driver":
			c.driver = f.Value
		case "mac":
			c.mac = f.Value
		case "permanent":
			c.permanent = f.Value
		}
	}
	virtual, _ := facts.Get("id/virtual")
	seen := map[string]bool{} // a bond shows the address of its first card
	for _, c := range found {
		t := Trait{Kind: Permanent, Value: strings.ToLower(c.permanent), From: c.name}
		if t.Value == "" {
			t.Kind, t.Value = MAC, strings.ToLower(c.mac)
		}
		if t.Value == "" {
			continue
		}
		t.Void = c.void(t, virtual, found)
		if key := t.Value + t.Void; !seen[key] {
			seen[key] = true
			all = append(all, t)
		}
	}
	return all
}

// void says why the address of a card identifies no machine.
func (c card) void(t Trait, virtual string, all []card) string {
	mac, err := net.ParseMAC(t.Value)
	switch {
	case err != nil || fact.Placeholder(t.Value):
		return "it is no address of a card"
	case c.plugged():
		for _, o := range all {
			if o.name != c.name && !o.plugged() && (strings.EqualFold(o.permanent, t.Value) || strings.EqualFold(o.mac, t.Value)) {
				return "a dock passes the address of " + o.name + " through"
			}
		}
		return "the card is plugged in, as docks and adapters are"
	case c.kind == "bluetooth" || strings.HasPrefix(c.name, "bnep") || strings.HasPrefix(c.name, "pan"):
		return "Bluetooth adapters of one make have the same"
	case made(c.kind):
		return "the interface is made by software (" + c.kind + ")"
	case t.Kind == MAC && mac[0]&2 != 0 && (virtual == "" || virtual == "none"):
		return "software made the address up"
	}
	return ""
}

// plugged tells whether a card is not part of the machine. What names no device was
// reported before agents told of it: then the name of the interface and the driver
// tell.
func (c card) plugged() bool {
	if strings.HasPrefix(c.device, "usb ") || strings.HasPrefix(c.name, "enx") || strings.HasPrefix(c.name, "wlx") {
		return true
	}
	switch c.driver {
	case "r8152", "cdc_ether", "cdc_ncm", "cdc_mbim", "cdc_subset", "asix", "ax88179_178a", "aqc111", "smsc75xx", "smsc95xx", "lan78xx", "dm9601", "rndis_host", "ipheth":
		return c.device == ""
	}
	return false
}

// made tells whether a kind of interface is none of a card. An interface that is a
// container's only card is made by software too, but its own.
func made(kind string) bool {
	switch kind {
	case "bond", "bridge", "vlan", "team", "macvlan", "macvtap", "ipvlan", "wireguard", "vxlan", "vrf", "virtual", "dummy":
		return true
	}
	return false
}
