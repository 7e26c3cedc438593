#!/bin/sh
# Installs what the benchmark compares Sluice with, the load generators and the servers behind, from Debian packages.
# Root only. No daemon is started: a policy file says no while the packages are set up, and what stood there before is put back.
set -eu

packages="nginx libnginx-mod-stream haproxy caddy wrk nghttp2-client nghttp2-server redis-server redis-tools openssl util-linux"
policy=/usr/sbin/policy-rc.d

if [ "$(id -u)" != 0 ]; then
  echo "bench/install.sh: must run as root (it calls apt-get)" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo "bench/install.sh: no apt-get here; install by hand: $packages" >&2
  exit 1
fi

saved=""
restore() {
  rm -f "$policy"
  if [ -n "$saved" ]; then mv "$saved" "$policy"; fi
}
if [ -e "$policy" ]; then
  saved="$policy.before-bench"
  mv "$policy" "$saved"
fi
trap restore EXIT
trap 'exit 130' INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

apt-get update
# shellcheck disable=SC2086 # one word per package
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages

# The policy keeps them from starting now; this keeps them from starting at the next boot.
if [ -d /run/systemd/system ]; then
  for service in nginx haproxy caddy redis-server nghttpx; do systemctl disable "$service" >/dev/null 2>&1 || true; done
fi

for program in nginx haproxy caddy wrk h2load nghttpd redis-server redis-benchmark openssl taskset; do
  printf '%-16s %s\n' "$program" "$(command -v "$program" || echo MISSING)"
done
