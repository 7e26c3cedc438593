#!/bin/sh
# Installs Debian packages for the tests without starting the daemons they bring. Called under a lock by programs.ts.
#   install-packages.sh STAMP PACKAGE...
# STAMP is a file whose age says when the package lists were last brought up to date. POLICY_FILE is for the test of this script.
set -eu
stamp=$1
shift
policy=${POLICY_FILE:-/usr/sbin/policy-rc.d}
saved=$policy.saved-by-sluice-tests
mark='# put here by the tests of sluice while packages are installed'

restore() {
  if [ -e "$saved" ]; then
    mv "$saved" "$policy"
  elif grep -qsF "$mark" "$policy"; then
    rm -f "$policy"
  fi
}
# A run that was killed may have left our policy in place.
restore
trap restore EXIT
trap 'exit 1' INT TERM HUP

if [ -e "$policy" ]; then mv "$policy" "$saved"; fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
if [ -z "$(find "$stamp" -mmin -720 2>/dev/null || true)" ]; then
  apt-get -o DPkg::Lock::Timeout=300 update
  : >"$stamp"
fi
apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
