# Sourced by ../unpack: the school server in its states.

# base_server HOSTNAME SALT: what every state of the server has; SALT makes keys and ids, which a reinstallation renews.
base_server() {
	local name=$NAME
	MOUNTS='41 22 9:0 / /skole/tjener rw,relatime shared:41 - ext4 /dev/md0 rw' TCP='0202000A:0277 00000000:0185 00000000:0050 00000000:0801 0100007F:0019' UDP='00000000:0035 00000000:0043 00000000:0045'
	local recorded
	recorded=$(cd "$T/boot" && echo vmlinuz-*)
	write_hardware "$model" "$mac" "${recorded#vmlinuz-}"
	put proc/mdstat 'Personalities : [raid1]
md0 : active raid1 sdb1[1] sda1[0]
      1953381376 blocks super 1.2 [2/2] [UU]
      
unused devices: <none>'
	reseed "$SEED $2"
	NAME=$1
	identity "$name-$2"
	put etc/resolv.conf 'search intern
nameserver 127.0.0.1'
	put proc/sys/kernel/hostname "$1"
	NAME=$name
}

# used_server: local configuration on top, and what the daemons keep.
used_server() {
	local line i text
	overlay "$here/tjener/accounts"
	load_names
	overlay "$here/tjener/used"
	text=$(printf 'PLACEHOLDER, not a key. %.0s' 1 2 3 4 5 6 | base64 -w64)
	put etc/ssl/private/tjener.key "-----BEGIN PRIVATE KEY-----
$text
-----END PRIVATE KEY-----" 0640 root:ssl-cert
	printf '\x05\x02\x00\x00\x00\x2cPLACEHOLDER, not a keytab\x00\xff\x00\xfe' >"$T/etc/krb5.keytab"
	own etc/krb5.keytab 0600
	printf '\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\x0dIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xdc\xccY\xe7\x00\x00\x00\x00IEND\xaeB`\x82' >"$T/etc/skole/logo.png"
	seq -f '0.0.0.0 advert%05.0f.example' 1 11000 >"$T/etc/skole/blocklist.hosts"
	# etckeeper's repository holds copies of secrets: an agent must never read it.
	folder etc/.git/objects/3a etc/.git/refs/heads
	own etc/.git 0700
	put etc/.git/HEAD 'ref: refs/heads/master'
	put etc/.git/objects/3a/placeholder 'PLACEHOLDER for a copy of /etc/shadow' 0444
	put etc/.etckeeper "maybe chmod 0640 'cups/printers.conf'" 0700
	packages "" ""
	leases
}

# leases: what dnsmasq remembers of some workstations, a printer and a thin client that has no agent.
leases() {
	local name class mac address rest text=''
	while IFS=$'\t' read -r name class _ _ mac address rest; do
		[[ $class == workstation && $name != *0[35] ]] || continue
		text+="1795$((0x${mac:9:2} + 100000)) $mac $address $name 01:$mac"$'\n'
	done < <(grep -v '^#' "$here/machines.tsv")
	text+='1795180211 00:17:c8:5b:21:9e 10.0.2.60 printer-r12 *
1795182090 00:16:3e:7a:0c:51 10.0.2.188 * 01:00:16:3e:7a:0c:51'
	put var/lib/misc/dnsmasq.leases "$text"
}

# renumber: another order of installation gave two accounts each other's numbers.
renumber() {
	local a=${UIDS[openldap]} b=${UIDS[tftp]} g=${GIDS[openldap]} h=${GIDS[tftp]}
	edit etc/passwd "s|^openldap:x:$a:$g:|openldap:x:$b:$h:|; s|^tftp:x:$b:$h:|tftp:x:$a:$g:|"
	edit etc/group "s|^openldap:x:$g:|openldap:x:$h:|; s|^tftp:x:$h:|tftp:x:$g:|"
	[[ $EUID -ne 0 ]] || find "$T" -uid "$a" -exec chown -h "$b:$h" {} +
	load_names
}

# newer_defaults: a later package version came with other default contents of its configuration files.
newer_defaults() {
	local path name
	overlay "$here/tjener/newer"
	for path in etc/cups/cups-files.conf etc/dnsmasq.conf; do
		edit var/lib/dpkg/status "s|^ /$path [0-9a-f]*$| /$path $(md5sum <"$T/$path" | cut -d' ' -f1)|"
	done
	for name in cups-daemon dnsmasq; do
		edit var/lib/dpkg/status "/^Package: $name\$/,/^\$/ s|^\(Version: .*\)|\1+next1|"
	done
}

# server STATE: fresh (as first installed), used, reinstalled (pristine on the same hardware) or wiped (reinstalled, and
# some defaults are newer).
server() {
	case $1 in
	fresh) base_server tjener first ;;
	used) base_server tjener first; used_server ;;
	reinstalled | wiped)
		renumber
		base_server debian second
		[[ $1 == reinstalled ]] || newer_defaults
		;;
	esac
	case $1 in
	reinstalled | wiped) finish "@$(($(stat -c %Y "$T/var/lib/apt/extended_states") + 600))" ;;
	*) finish '2026-11-18 16:42:00 UTC' ;;
	esac
}
