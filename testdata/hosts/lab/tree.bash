# Sourced by ../unpack: writing into one tree. T is the tree's root, NAME the machine's name.
#
# Owners are names of the tree's own passwd and group. Modes and owners other than 0644 root:root are collected and set by
# finish, once per distinct mode or owner, because a machine has some two hundred files to write and a child process for each
# would be most of the work.

declare -A UIDS GIDS MODES OWNERS

# open_tree ROOT NAME: what follows writes below ROOT.
open_tree() {
	T=$1 NAME=$2 MODES=() OWNERS=()
	reseed "recorded host $NAME"
	load_names
	MARK=$T.mark
	touch -d '2 seconds ago' "$MARK"
}

# load_names: the tree's own accounts; again after a change of them.
load_names() {
	local name id rest
	UIDS=() GIDS=()
	while IFS=: read -r name _ id rest; do UIDS[$name]=$id; done <"$T/etc/passwd"
	while IFS=: read -r name _ id rest; do GIDS[$name]=$id; done <"$T/etc/group"
}

# own PATH MODE [USER:GROUP]
own() {
	MODES[$2]+="$T/$1"$'\n'
	[[ ${3:-root:root} == root:root ]] && return
	local user=${3%:*} group=${3#*:}
	[[ -n ${UIDS[$user]-} && -n ${GIDS[$group]-} ]] || die "$NAME: no owner $3 for $1"
	OWNERS[${UIDS[$user]}:${GIDS[$group]}]+="$T/$1"$'\n'
}

# put PATH TEXT [MODE [USER:GROUP]]: a file of one text, ended by a newline.
put() {
	[[ ! -L $T/$1 && (! -e $T/$1 || -w $T/$1) ]] || rm -f "$T/$1"
	printf '%s\n' "$2" >"$T/$1"
	[[ $# -lt 3 ]] || own "$1" "$3" "${4-}"
}

folder() { mkdir -p "${@/#/$T/}"; }
link() { ln -sfn "$1" "$T/$2"; }

# edit PATH SEDARG...: change a recorded file; it is an error when nothing changes.
edit() {
	local path=$1
	local -a old new
	shift
	mapfile -d '' old <"$T/$path" # a command substitution would be a child process
	sed -i --follow-symlinks "$@" "$T/$path"
	mapfile -d '' new <"$T/$path"
	[[ ${old[0]} != "${new[0]}" ]] || die "$NAME: the edit of $path changed nothing; was the archive recorded anew?"
}

# fnv TEXT: REPLY is the FNV-1a hash of TEXT, started from STATE.
fnv() {
	local i v h=$STATE
	for ((i = 0; i < ${#1}; i++)); do
		printf -v v %d "'${1:i:1}"
		h=$(((h ^ v) * 0x100000001b3))
	done
	REPLY=$h
}

# reseed TEXT: what rnd answers from now on depends on TEXT alone. SEED holds 64 hexadecimal digits of it, DIGITS the decimal ones.
reseed() {
	STATE=-3750763034362895579 # FNV's offset basis as a signed number
	fnv "$1"
	STATE=$REPLY
	rnd seed 64
	SEED=$REPLY DIGITS=${REPLY//[!0-9]/}00000000000000
}

# rnd SALT N: REPLY is N hexadecimal digits that depend on the seed and SALT alone (xorshift64*; sha256sum would be better and
# cost a child process for each of the two hundred calls).
rnd() {
	local x v n=$2
	fnv "$1"
	x=$REPLY REPLY=''
	while ((${#REPLY} < n)); do
		x=$((x ^ (x >> 12 & 0xfffffffffffff)))
		x=$((x ^ x << 25))
		x=$((x ^ (x >> 27 & 0x1fffffffff)))
		printf -v v %016x $((x * 0x2545f4914f6cdd1d))
		REPLY+=$v
	done
	REPLY=${REPLY:0:n}
}

# uuid SALT: REPLY is a version 4 UUID.
uuid() {
	rnd "$1" 32
	REPLY=${REPLY:0:8}-${REPLY:8:4}-4${REPLY:13:3}-a${REPLY:17:3}-${REPLY:20:12}
}

# overlay FOLDER: FOLDER/files is copied over the tree, FOLDER/edits/PATH.sed are applied, FOLDER/manifest sets the rest:
#   mode MODE USER:GROUP PATH    of a file that is there
#   dir MODE USER:GROUP PATH     a folder
#   empty MODE USER:GROUP PATH   a file without contents
#   link TARGET PATH             a symbolic link
#   gone PATH                    nothing there
# PATH is the rest of the line and may contain spaces.
overlay() {
	local from=$1 f kind a b path
	[[ ! -d $from/files ]] || cp -r --no-preserve=mode,ownership "$from/files/." "$T/"
	if [[ -d $from/edits ]]; then
		while IFS= read -r f; do
			path=${f#"$from/edits/"}
			edit "${path%.sed}" -f "$f"
		done < <(find "$from/edits" -name '*.sed' | sort)
	fi
	[[ -e $from/manifest ]] || return 0
	while read -r kind a b path; do
		case $kind in
		mode) own "$path" "$a" "$b" ;;
		dir) folder "$path"; own "$path" "$a" "$b" ;;
		empty) : >"$T/$path"; own "$path" "$a" "$b" ;;
		link) link "$a" "$b${path:+ $path}" ;;
		gone) rm -rf "${T:?}/$a${b:+ $b}${path:+ $path}" ;;
		'' | '#'*) ;;
		*) die "$from/manifest: unknown line $kind $a $b $path" ;;
		esac
	done <"$from/manifest"
}

# finish TIME: sets modes, owners and, on everything that was written, the modification time.
finish() {
	local key list
	for key in "${!OWNERS[@]}"; do
		mapfile -t list <<<"${OWNERS[$key]%$'\n'}"
		[[ $EUID -ne 0 ]] || chown -h "$key" "${list[@]}"
	done
	for key in "${!MODES[@]}"; do # after chown, which clears the setgid bit
		mapfile -t list <<<"${MODES[$key]%$'\n'}"
		chmod "$key" "${list[@]}"
	done
	find "$T" -newer "$MARK" -print0 | xargs -0r touch -h -d "$1"
	rm "$MARK"
}

# keys WHICH: the machine's ssh host keys: public halves of the right form, private halves that are plainly none. WHICH is its
# line in ecdsa.pub.
keys() {
	local text words=UExBQ0VIT0xERVIsIG5vdCBhIGtleS4gUExBQ0VIT0xERVIsIG5vdCBhIGtleS4g kind body
	blob() { # blob KIND HEXBYTES...: KIND as an ssh string, then the bytes; REPLY is base64
		local all=$1
		REPLY=$(printf '%b' "${all//??/\\x&}" | base64 -w0)
	}
	rnd "ssh ed25519" 64
	blob "0000000b7373682d6564323535313900000020$REPLY"
	put etc/ssh/ssh_host_ed25519_key.pub "ssh-ed25519 $REPLY root@$NAME"
	# A point on the curve cannot be made up: these are public halves of real keys whose private halves were never kept.
	text=$(sed -n "s/^$1 //p" "$here/lab/ecdsa.pub")
	[[ -n $text ]] || die "lab/ecdsa.pub has no key for $1"
	put etc/ssh/ssh_host_ecdsa_key.pub "$text root@$NAME"
	rnd "ssh rsa" 64; body=$REPLY$REPLY$REPLY$REPLY$REPLY$REPLY; rnd "ssh rsa n" 64; body=$REPLY$body${REPLY//[8-f]/5}${body:0:256}
	blob "000000077373682d727361000000030100010000018100${body:0:768}"
	put etc/ssh/ssh_host_rsa_key.pub "ssh-rsa $REPLY root@$NAME"
	printf -v text '%s\n' '-----BEGIN OPENSSH PRIVATE KEY-----' "$words" "$words" "$words" "$words" '-----END OPENSSH PRIVATE KEY-----'
	for kind in ed25519 ecdsa rsa; do put "etc/ssh/ssh_host_${kind}_key" "${text%$'\n'}" 0600; done
}
