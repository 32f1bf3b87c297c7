#!/bin/sh
# install-packages.sh PACKAGE...
# Installs Debian packages without leaving a new Redis service behind: Debian's redis-server starts
# and enables one, which would take the port and outlive the visit. A service that was there before
# is left alone. Runs as root, or through sudo where that asks no password; otherwise it prints the
# line to type and fails.
set -eu
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
saved=$policy.redlua-saved
marker='# Written by RedLua while it installs packages; removed afterwards.'
unit=redis-server
alias_link=/etc/systemd/system/redis.service

die() {
  echo "$*" >&2
  exit 1
}

[ $# -gt 0 ] || die "usage: install-packages.sh PACKAGE..."
script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
command -v apt-get >/dev/null 2>&1 ||
  die "There is no apt-get on this machine. Install what these Debian packages hold, then try again: $*"

if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null 2>&1; then
    if sudo -n true 2>/dev/null; then exec sudo -n sh "$script" "$@"; fi
    die "Packages are missing and installing them needs root. Type this, then try again:

  sudo sh '$script' $*
"
  fi
  die "Packages are missing and installing them needs root. Type this, then try again:

  su -c \"sh '$script' $*\"
"
fi

# Two builds may ask at once; the second waits here and finds its packages installed.
exec 9<"$script"
flock 9

restore_policy() {
  if [ -e "$saved" ] || [ -L "$saved" ]; then
    mv -f "$saved" "$policy"
  elif grep -qsF "$marker" "$policy"; then
    rm -f "$policy"
  fi
}

# Denies the new service and asks the machine's own policy, where it has one, about all others.
deny_service_start() {
  if [ -e "$policy" ] || [ -L "$policy" ]; then mv -f "$policy" "$saved"; fi
  cat >"$policy" <<EOF
#!/bin/sh
$marker
for word in "\$@"; do
  case \$word in $unit | $unit.service) exit 101 ;; esac
done
if [ -x '$saved' ]; then exec '$saved' "\$@"; fi
exit 0
EOF
  chmod 755 "$policy"
}

# A package that was removed but not purged keeps its init script, so the script proves nothing.
service_exists() {
  state=$(dpkg-query -W -f='${db:Status-Status}' "$unit" 2>/dev/null || true)
  [ "$state" = installed ] || [ -f "/etc/systemd/system/$unit.service" ]
}

service_is_enabled() {
  for link in "$alias_link" /etc/rc[2345].d/S[0-9][0-9]"$unit" \
    /etc/systemd/system/*.wants/"$unit.service"; do
    if [ -e "$link" ] || [ -L "$link" ]; then return 0; fi
  done
  return 1
}

# Each tool covers machines that the others do not know; the check at the end is what counts.
# Without systemctl the alias link stays, and systemd would read it as enabled at the next boot.
disable_service() {
  if [ -d /run/systemd/system ]; then systemctl stop "$unit.service" || true; fi
  if command -v systemctl >/dev/null 2>&1; then
    systemctl --quiet disable "$unit.service" >/dev/null 2>&1 || true
  fi
  if command -v deb-systemd-helper >/dev/null 2>&1; then
    deb-systemd-helper disable "$unit.service" >/dev/null 2>&1 || true
  fi
  if command -v update-rc.d >/dev/null 2>&1; then
    update-rc.d "$unit" disable >/dev/null 2>&1 || true
  fi
  if [ "$(readlink "$alias_link" || true)" = "/lib/systemd/system/$unit.service" ]; then
    rm -f "$alias_link"
  fi
  if service_is_enabled; then
    echo "The service $unit is still enabled at boot; type: systemctl disable --now $unit" >&2
  fi
}

# A freshly made machine has no package lists, and old lists name files that are gone.
install_packages() {
  if apt-cache show "$@" >/dev/null 2>&1 && apt_install "$@"; then return 0; fi
  apt-get update && apt_install "$@"
}

apt_install() {
  apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}

service_was_here=no
if service_exists; then service_was_here=yes; fi

restore_policy # what a killed run may have left
trap restore_policy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
deny_service_start

status=0
install_packages "$@" || status=$?
if [ "$service_was_here" = no ] && service_exists; then disable_service; fi
[ "$status" -eq 0 ] || die "apt-get could not install: $*"
