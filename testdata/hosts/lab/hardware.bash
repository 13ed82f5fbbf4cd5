# Sourced by ../unpack: /sys and /proc of one machine, as far as an inventory reads them, laid out as the kernel does: the
# entries of /sys/class, /sys/bus and /sys/block are relative links to /sys/devices.

# text PATH VALUE...: pairs of a path below the tree and its line.
text() { while [[ $# -gt 1 ]]; do printf '%s\n' "$2" >"$T/$1"; shift 2; done; }

# write_hardware MODEL MAC KERNEL
write_hardware() {
	local MEMORY uuid serial board_serial
	local smbios vendor product version family sku board board_version tag chassis bios_vendor bios_version bios_date
	local cpu cpu_sig cpu_id cpu_code cores threads mhz mhz_max socket ddr dimm_form dimm_slots dimm_locator uefi sata gpu nic disk monitor i
	local -a dimms usb
	"model_$1"
	uuid uuid; uuid=$REPLY
	rnd serial 7; serial=${REPLY^^}
	rnd board 10; board_serial=/$serial/CN${REPLY^^}/
	folder sys/devices/{virtual/dmi/id,system/cpu} sys/class/{dmi,net,tpm} sys/block sys/bus/pci/devices sys/firmware/dmi/tables sys/module
	write_smbios
	write_dmi
	write_pci "$gpu" 030000 "$([[ $gpu == *1a03* ]] && echo ast || echo i915)"
	write_monitor "$PCI" "$monitor"
	for i in "${!usb[@]}"; do write_usb "${usb[i]}" 00 $((i + 1)); done
	write_nic "$2"
	write_disk
	write_cpu
	write_proc "$3"
	if [[ $uefi == yes ]]; then
		folder sys/firmware/efi/efivars
		printf '\x06\x00\x00\x00\x00' >"$T/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	fi
}

write_dmi() {
	local d=sys/devices/virtual/dmi/id f
	link ../../devices/virtual/dmi/id sys/class/dmi/id
	text $d/sys_vendor "$vendor" $d/product_name "$product" $d/product_version "$version" $d/product_family "$family" \
		$d/product_sku "$sku" $d/product_serial "$serial" $d/product_uuid "$uuid" $d/board_vendor "$vendor" \
		$d/board_name "$board" $d/board_version "$board_version" $d/board_serial "$board_serial" $d/board_asset_tag '' \
		$d/chassis_type "$((chassis))" $d/chassis_vendor "$vendor" $d/chassis_version '' $d/chassis_serial "$serial" \
		$d/chassis_asset_tag "$tag" $d/bios_vendor "$bios_vendor" $d/bios_version "$bios_version" $d/bios_date "$bios_date"
	for f in product_serial product_uuid board_serial chassis_serial; do own $d/$f 0400; done
}

# write_pci "ADDRESS VENDOR:DEVICE [SUBVENDOR:SUBDEVICE]" CLASS DRIVER: sets PCI to its folder below /sys/devices.
write_pci() {
	local address ids sub
	read -r address ids sub <<<"$1"
	sub=${sub:-${ids%:*}:7270}
	PCI=pci0000:00/$address
	[[ $address != 0000:0[1-9]* ]] || PCI=pci0000:00/0000:00:1c.0/$address
	folder "sys/devices/$PCI" "sys/bus/pci/drivers/$3"
	text "sys/devices/$PCI/vendor" "0x${ids%:*}" "sys/devices/$PCI/device" "0x${ids#*:}" "sys/devices/$PCI/class" "0x$2" \
		"sys/devices/$PCI/subsystem_vendor" "0x${sub%:*}" "sys/devices/$PCI/subsystem_device" "0x${sub#*:}" "sys/devices/$PCI/revision" 0x05
	link "../../../devices/$PCI" "sys/bus/pci/devices/$address"
	up "$PCI"
	link "${REPLY}bus/pci/drivers/$3" "sys/devices/$PCI/driver"
}

# up PATH: REPLY leads from /sys/devices/PATH to /sys.
up() {
	local p=devices/$1
	REPLY=../
	while [[ $p == */* ]]; do REPLY+=../ p=${p%/*}; done
}

write_nic() {
	local ifname driver address ids sub d
	read -r ifname driver address ids sub <<<"$nic"
	write_pci "$address $ids $sub" 020000 "$driver"
	d=sys/devices/$PCI/net/$ifname
	folder "$d" sys/devices/virtual/net/lo
	text "$d/address" "$1" "$d/addr_assign_type" 0 "$d/type" 1 "$d/operstate" up "$d/carrier" 1 "$d/speed" 1000 "$d/duplex" full "$d/mtu" 1500 "$d/ifindex" 2 "$d/flags" 0x1003
	text sys/devices/virtual/net/lo/address 00:00:00:00:00:00 sys/devices/virtual/net/lo/type 772 sys/devices/virtual/net/lo/mtu 65536 \
		sys/devices/virtual/net/lo/addr_assign_type 0 sys/devices/virtual/net/lo/ifindex 1 sys/devices/virtual/net/lo/operstate unknown
	link "../../../$address" "$d/device"
	link "../../devices/$PCI/net/$ifname" "sys/class/net/$ifname"
	link ../../devices/virtual/net/lo sys/class/net/lo
	IFNAME=$ifname
}

write_disk() {
	local name model firmware sectors rotational d base number=8:0
	read -r name model firmware sectors rotational <<<"$disk"
	rnd disk 12
	if [[ $name == nvme* ]]; then
		write_pci '0000:02:00.0 144d:a804' 010802 nvme
		base=$PCI/nvme/nvme0 d=$PCI/nvme/nvme0/nvme0n1 number=259:0
		folder "sys/devices/$d/queue" sys/class/nvme
		text "sys/devices/$base/model" "${model//_/ }" "sys/devices/$base/serial" "S35FNX${REPLY^^}" "sys/devices/$base/firmware_rev" "$firmware" "sys/devices/$base/transport" pcie
		link ../../nvme0 "sys/devices/$d/device"
		link "../../devices/$base" sys/class/nvme/nvme0
		text "sys/devices/$d/wwid" "eui.0025388b${REPLY:0:8}"
	else
		write_pci "$sata" 010601 ahci
		base=$PCI/ata1/host0/target0:0:0/0:0:0:0 d=$PCI/ata1/host0/target0:0:0/0:0:0:0/block/sda
		folder "sys/devices/$d/queue"
		model=${model//_/ }
		text "sys/devices/$base/model" "${model:0:16}" "sys/devices/$base/vendor" 'ATA     ' "sys/devices/$base/rev" "${firmware:0:4}" "sys/devices/$base/type" 0 "sys/devices/$base/wwid" "naa.5000c500${REPLY:0:8}"
		link ../../../0:0:0:0 "sys/devices/$d/device"
	fi
	text "sys/devices/$d/size" "$sectors" "sys/devices/$d/removable" 0 "sys/devices/$d/ro" 0 "sys/devices/$d/queue/rotational" "$rotational" "sys/devices/$d/dev" "$number"
	link "../devices/$d" "sys/block/$name"
	folder run/udev/data
	put "run/udev/data/b$number" "S:disk/by-path/pci-0000:00:17.0
E:ID_MODEL=${model// /_}
E:ID_REVISION=$firmware
E:ID_SERIAL=${model// /_}_${REPLY^^}
E:ID_SERIAL_SHORT=${REPLY^^}
E:ID_WWN=0x5000c500${REPLY:0:8}
E:ID_PART_TABLE_TYPE=gpt
G:systemd
Q:systemd
V:1"
}

write_cpu() {
	local i all='' fam mod step micro core
	read -r fam mod step micro <<<"$cpu_sig"
	folder $(seq -f "sys/devices/system/cpu/cpu%.0f/topology" 0 $((threads - 1)))
	for ((i = 0; i < threads; i++)); do
		core=$((i % cores))
		all+="processor	: $i
vendor_id	: GenuineIntel
cpu family	: $fam
model		: $mod
model name	: $cpu
stepping	: $step
microcode	: $micro
cpu MHz		: $((800 + (0x${SEED:i*2:2}) * 10)).000
cache size	: 6144 KB
physical id	: 0
siblings	: $threads
core id		: $core
cpu cores	: $cores
apicid		: $((core * 2 + i / cores))
fpu		: yes
flags		: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht tm pbe syscall nx rdtscp lm constant_tsc vmx est ssse3 cx16 sse4_1 sse4_2 popcnt aes xsave avx
bogomips	: $((mhz * 2)).00
address sizes	: 39 bits physical, 48 bits virtual
power management:

"
		text "sys/devices/system/cpu/cpu$i/topology/core_id" "$core" "sys/devices/system/cpu/cpu$i/topology/physical_package_id" 0
	done
	text sys/devices/system/cpu/online "0-$((threads - 1))" sys/devices/system/cpu/possible "0-$((threads - 1))"
	printf '%s' "$all" >"$T/proc/cpuinfo"
}

write_proc() {
	local kernel=$1 kb=$((MEMORY * 1024)) root m modules='' part=${disk%% *} efi=''
	[[ $part != nvme* ]] || part+=p
	[[ $uefi == no ]] || efi="31 22 8:1 / /boot/efi rw,relatime shared:29 - vfat /dev/${part}1 rw,fmask=0077"$'\n'
	kb=$((kb - kb / 48 - 161000))
	uuid root; root=$REPLY
	folder proc/sys/kernel/random proc/self proc/net proc/sys/fs
	put proc/meminfo "MemTotal:       $(printf %8d $kb) kB
MemFree:        $(printf %8d $((kb / 3))) kB
MemAvailable:   $(printf %8d $((kb / 2))) kB
Buffers:           91204 kB
Cached:          1804712 kB
SwapTotal:       2097148 kB
SwapFree:        2097148 kB"
	text proc/cmdline "BOOT_IMAGE=/boot/vmlinuz-$kernel root=UUID=$root ro quiet" proc/sys/kernel/osrelease "$kernel" \
		proc/sys/kernel/hostname "$NAME" proc/sys/kernel/domainname '(none)' proc/sys/kernel/tainted 0 proc/sys/kernel/ostype Linux \
		proc/version "Linux version $kernel (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0) #1 SMP PREEMPT_DYNAMIC Debian" \
		proc/uptime '53128.44 201442.19' proc/loadavg '0.08 0.03 0.01 1/244 4711'
	uuid boot; text proc/sys/kernel/random/boot_id "$REPLY"
	for m in "${nic#* }" ext4 ahci snd_hda_intel i915 e1000e usbhid autofs4 ip_tables x_tables intel_rapl_msr coretemp; do
		m=${m%% *}
		[[ $modules == *"$m "* ]] || modules+="$m $((16384 + ${#m} * 4096)) 0 - Live 0x0000000000000000"$'\n'
	done
	printf '%s' "$modules" >"$T/proc/modules"
	put proc/self/mountinfo "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/${part}2 rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:2 - proc proc rw
24 22 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:3 - sysfs sysfs rw
25 22 0:5 / /dev rw,nosuid,relatime shared:4 - devtmpfs udev rw,size=4000000k
26 22 0:24 / /run rw,nosuid,nodev,noexec,relatime shared:5 - tmpfs tmpfs rw,size=804160k,mode=755
$efi$MOUNTS"
	put proc/self/mounts "/dev/${part}2 / ext4 rw,relatime,errors=remount-ro 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0"
	link self/mounts proc/mounts
	put proc/swaps "Filename				Type		Size		Used		Priority
/dev/${part}3                               partition	2097148		0		-2"
	listening tcp 0A "00000000:0016 $TCP"
	listening udp 07 "$UDP"
}

# listening PROTOCOL STATE "ADDRESS:PORT...": /proc/net/PROTOCOL with these sockets, hexadecimal as the kernel writes them.
listening() {
	local i=0 one all='  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'
	for one in $3; do
		printf -v one '\n%4d: %s 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 %d 1 0000000000000000 100 0 0 10 0' $i "$one" "$2" $((15021 + i))
		all+=$one i=$((i + 1))
	done
	put "proc/net/$1" "$all"
}
