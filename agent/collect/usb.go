package collect

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
)

func usb() Collector {
	return Collector{Name: "usb", Owns: []string{"hw/usb/"}, Collect: collectUSB}
}

// maxUSB bounds the devices that are listed.
const maxUSB = 1024

// collectUSB lists USB devices by vendor and product id with their number.
// Where a device is plugged in, and the serial of one of several that are alike,
// is no fact: many serials are made up anew at each start. Root hubs are part of
// their controller and left out.
func collectUSB(ctx context.Context, h Host, s *Sink) error {
	const dir = "sys/bus/usb/devices"
	names, err := h.Names(dir)
	if err != nil {
		return err
	}
	type kind struct {
		count        int
		text, serial []string
	}
	kinds := map[string]*kind{}
	for _, name := range names[:min(len(names), maxUSB)] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.Contains(name, ":") || strings.HasPrefix(name, "usb") {
			continue // an interface, or a root hub
		}
		base := dir + "/" + name + "/"
		vendor, product := h.Line(s, base+"idVendor"), h.Line(s, base+"idProduct")
		if vendor == "" || product == "" {
			continue
		}
		key := vendor + ":" + product
		k := cmp.Or(kinds[key], &kind{})
		kinds[key] = k
		k.count++
		text := strings.TrimSpace(real(h.Line(s, base+"manufacturer")) + " " + real(h.Line(s, base+"product")))
		k.text = append(k.text, text)
		k.serial = append(k.serial, usbSerial(h.Line(s, base+"serial")))
	}
	for key, k := range kinds {
		slices.Sort(k.text) // which of them comes first depends on the plug
		value := "count=" + strconv.Itoa(k.count)
		if text := k.text[len(k.text)-1]; text != "" {
			value += " " + text
		}
		if k.count == 1 && k.serial[0] != "" {
			value += " [" + k.serial[0] + "]"
		}
		s.Fact(Path("hw", "usb", key), value)
	}
	return nil
}

// usbSerial drops serials that say nothing: placeholders, and the address of the
// controller that some drivers put there.
func usbSerial(serial string) string {
	if len(serial) < 4 || strings.Contains(serial, ":") {
		return ""
	}
	return real(serial)
}
