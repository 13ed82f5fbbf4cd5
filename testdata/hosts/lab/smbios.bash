# Sourced by ../unpack: an SMBIOS table from scratch (DMTF DSP0134), as the kernel shows it in /sys/firmware/dmi/tables.
#
# Bytes are kept as \xHH text in B because bash cannot hold NUL; N counts them.

u8() { local v; for v; do printf -v v '\\x%02x' "$((v))"; B+=$v; done; N=$((N + $#)); }
u16() { local v; for v; do u8 $((v & 255)) $((v >> 8 & 255)); done; }
u32() { local v; for v; do u16 $((v & 65535)) $((v >> 16 & 65535)); done; }
u64() { local v; for v; do u32 $((v & 0xffffffff)) $((v >> 32 & 0xffffffff)); done; }
hex() { local i; for ((i = 0; i < ${#1}; i += 2)); do u8 "0x${1:i:2}"; done; }

# begin TYPE LENGTH: LENGTH is that of the formatted part, which must follow exactly.
begin() { STRINGS=() START=$N WANT=$2 HANDLE=$NEXT NEXT=$((NEXT + 1)) COUNT=$((COUNT + 1)); u8 "$1" "$2"; u16 "$HANDLE"; }
str() { if [[ -n $1 ]]; then STRINGS+=("$1"); u8 ${#STRINGS[@]}; else u8 0; fi; }
end() {
	local s
	((N - START == WANT)) || die "smbios: structure $HANDLE has $((N - START)) bytes, not $WANT"
	for s in "${STRINGS[@]}"; do B+=$s; N=$((N + ${#s})); u8 0; done
	[[ ${#STRINGS[@]} -gt 0 ]] || u8 0
	u8 0
	((N - START <= LARGEST)) || LARGEST=$((N - START))
}

# sum FROM COUNT: REPLY makes the bytes of B from FROM on add up to 0 modulo 256.
sum() {
	local i total=0
	for ((i = $1; i < $1 + $2; i++)); do total=$((total + 0x${B:i * 4 + 2:2})); done
	REPLY=$(((256 - total % 256) % 256))
}

# write_smbios: the tables of the machine described by the variables of models.bash and serials.
write_smbios() {
	local i size speed maker part major=${smbios%.*} minor=${smbios#*.} old=0 address=$((0x8ce4e000)) array total=0
	[[ $smbios != 2.* ]] || old=1 address=$((0xf04c0))
	B='' N=0 NEXT=0 COUNT=0 LARGEST=0
	begin 0 0x18; str "$bios_vendor"; str "$bios_version"; u16 0xf000; str "$bios_date"; u8 0xff; u64 0x3f8b9880; u8 3 $((old ? 5 : 0x0d)) 255 255 255 255; end
	begin 1 0x1b; str "$vendor"; str "$product"; str "$version"; str "$serial"
	hex "${uuid:6:2}${uuid:4:2}${uuid:2:2}${uuid:0:2}${uuid:11:2}${uuid:9:2}${uuid:16:2}${uuid:14:2}${uuid:19:4}${uuid:24:12}"
	u8 6; str "$sku"; str "$family"; end
	begin 2 0x0f; str "$vendor"; str "$board"; str "$board_version"; str "$board_serial"; str ''; u8 9; str ''; u16 3; u8 10 0; end
	begin 3 0x16; str "$vendor"; u8 "$chassis"; str ''; str "$serial"; str "$tag"; u8 3 3 3 3; u32 0; u8 0 1 0 0; str "$sku"; end
	begin 4 $((old ? 0x2a : 0x30)); str "${socket}"; u8 3 "$cpu_code"; str 'Intel(R) Corporation'; u64 "$((0xbfebfbff << 32 | cpu_id))"; str "$cpu"
	u8 0x8b; u16 100 "$mhz_max" "$mhz"; u8 0x41 1; u16 0xffff 0xffff 0xffff; str ''; str ''; str ''; u8 "$cores" "$cores" "$threads"; u16 0xfc "$cpu_code"
	((old)) || u16 "$cores" "$cores" "$threads"
	end
	array=$NEXT
	begin 16 0x17; u8 3 3 3; u32 $((dimm_slots * 16 * 1048576)); u16 0xfffe "$dimm_slots"; u64 0; end
	for ((i = 0; i < dimm_slots; i++)); do
		read -r size speed maker part <<<"${dimms[i]:-0 0 - -}"
		total=$((total + size))
		rnd "dimm $i" 8
		begin 17 $((old ? 0x1c : 0x28)); u16 "$array" 0xfffe $((size ? 64 : 0xffff)) $((size ? 64 : 0xffff)) "$size"
		u8 "$dimm_form" 0; str "${dimm_locator/N/$((i + 1))}"; str "BANK $i"; u8 $((size ? ddr : 2)); u16 $((size ? 0x80 : 0)) "$speed"
		if ((size)); then str "${maker//_/ }"; str "${REPLY^^}"; str ''; str "$part"; else str ''; str ''; str ''; str ''; fi
		u8 1
		((old)) || { u32 0; u16 "$speed" 1200 1200 1200; }
		end
	done
	begin 19 $((old ? 0x0f : 0x1f)); u32 0 $((total * 1024 - 1)); u16 "$array"; u8 "$dimm_slots"; ((old)) || u64 0 0; end
	begin 127 4; end
	MEMORY=$total
	printf '%b' "$B" >"$T/sys/firmware/dmi/tables/DMI"
	local length=$N count=$COUNT largest=$LARGEST
	B='' N=0
	if ((old)); then # 32-bit entry point: the intermediate part sums to 0, then the whole
		hex 5f534d5f; u8 0 0x1f "$major" "$minor"; u16 "$largest"; u8 0 0 0 0 0 0; hex 5f444d495f; u8 0; u16 "$length"; u32 "$address"; u16 "$count"; u8 $((major << 4 | minor))
		sum 16 15; patch 21; sum 0 31; patch 4
	else # 64-bit entry point
		hex 5f534d335f; u8 0 0x18 "$major" "$minor" 0 1 0; u32 "$length"; u64 "$address"; sum 0 24; patch 5
	fi
	printf '%b' "$B" >"$T/sys/firmware/dmi/tables/smbios_entry_point"
	own sys/firmware/dmi/tables/DMI 0400
	own sys/firmware/dmi/tables/smbios_entry_point 0400
}

patch() { local v; printf -v v '%02x' "$REPLY"; B=${B:0:$1 * 4 + 2}$v${B:$1 * 4 + 4}; }
