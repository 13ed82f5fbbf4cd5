# Sourced by ../unpack: what is plugged into a machine: a monitor (EDID 1.4, VESA E-EDID) and USB devices.

# padded TEXT: the 13 bytes of a monitor descriptor's text.
padded() {
	local i v text=$1
	for ((i = 0; i < ${#text}; i++)); do printf -v v %d "'${text:i:1}"; u8 "$v"; done
	u8 10
	for ((i = ${#text} + 1; i < 13; i++)); do u8 32; done
}

# write_monitor PCI "VENDOR PRODUCT NAME": on the first DisplayPort of the graphics card; without a name nothing is connected.
write_monitor() {
	local vendor product name v id=0 i d=sys/devices/$1/drm/card0/card0-DP-1
	read -r vendor product name <<<"$2"
	folder "$d" sys/class/drm
	up "$1/drm"
	link "../../devices/$1/drm/card0/card0-DP-1" sys/class/drm/card0-DP-1
	if [[ -z $name ]]; then
		text "$d/status" disconnected "$d/enabled" disabled
		: >"$T/$d/edid"
		return
	fi
	text "$d/status" connected "$d/enabled" enabled
	for ((i = 0; i < 3; i++)); do printf -v v %d "'${vendor:i:1}"; id=$((id << 5 | v - 64)); done
	rnd monitor 8
	B='' N=0
	hex 00ffffffffffff00; u8 $((id >> 8)) $((id & 255)); u16 "0x$product"; u32 "0x$REPLY"
	u8 $((1 + 0x${REPLY:0:2} % 52)) 29 1 4; hex a5351e783aee95a3544c99260f5054; hex a54b00; hex 714f8180a9c0a940d1c0e10001010101
	hex 023a801871382d40582c4500132b2100001e
	hex 000000ff00; padded "${REPLY^^}"
	hex 000000fc00; padded "$name"
	hex 000000fd00384c1e5311000a202020202020
	u8 0; sum 0 127; u8 "$REPLY"
	printf '%b' "$B" >"$T/$d/edid"
}

# write_usb "VID:PID BCD MAKER PRODUCT" CLASS INDEX
write_usb() {
	local ids bcd maker product d=sys/devices/pci0000:00/0000:00:14.0/usb1/1-$3
	read -r ids bcd maker product <<<"$1"
	folder "$d" sys/bus/usb/devices
	text "$d/idVendor" "${ids%:*}" "$d/idProduct" "${ids#*:}" "$d/bcdDevice" "$bcd" "$d/manufacturer" "${maker//_/ }" "$d/product" "$product" \
		"$d/bDeviceClass" "$2" "$d/busnum" 1 "$d/devnum" $(($3 + 1)) "$d/speed" 12
	link "../../../devices/pci0000:00/0000:00:14.0/usb1/1-$3" "sys/bus/usb/devices/1-$3"
}
