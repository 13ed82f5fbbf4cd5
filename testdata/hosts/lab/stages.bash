# Sourced by ../unpack: second states of trees that were unpacked before.

# upgrade PACKAGE: dpkg and apt record that the package came to the version that apt's lists offer.
upgrade() {
	local old new which
	old=$(sed -n "/^Package: $1\$/,/^\$/ s/^Version: //p" "$T/var/lib/dpkg/status")
	new=$(cat "$T"/var/lib/apt/lists/*_Packages | sed -n "/^Package: $1\$/,/^\$/ s/^Version: //p" | tail -n1)
	[[ -n $old && -n $new && $old != "$new" ]] || die "$NAME: $1 cannot be upgraded from '$old' to '$new'"
	edit var/lib/dpkg/status "/^Package: $1\$/,/^\$/ s/^Version: .*/Version: $new/"
	which=$1:$(<"$T/var/lib/dpkg/arch")
	printf '\nStart-Date: 2026-11-20  06:31:02\nCommandline: /usr/bin/unattended-upgrade\nUpgrade: %s (%s, %s)\nEnd-Date: 2026-11-20  06:31:19\n' \
		"$which" "$old" "$new" >>"$T/var/log/apt/history.log"
	printf '2026-11-20 06:31:07 %s\n' "upgrade $which $old $new" "status half-configured $which $old" "status unpacked $which $new" \
		"status installed $which $new" >>"$T/var/log/dpkg.log"
}

# stage_later: a day later the server has a new network and room14-pc03 an upgraded package.
stage_later() {
	case $NAME in
	tjener) overlay "$here/tjener/later"; own etc/cups/cupsd.conf 0640 root:lp ;;
	room14-pc03) upgrade sudo ;;
	*) return 1 ;;
	esac
}

# stage_repaired: the broken workstations print to the right server.
stage_repaired() {
	[[ $printing == broken ]] || return 1
	edit etc/cups/client.conf 's/^ServerName printserver.intern/ServerName tjener.intern/'
}
