#!/usr/bin/env bash
# Checks the unit and the files beside it with systemd's own tools, without a running systemd and without installing
# anything: `systemd-analyze verify` without a word, an exposure of at most 1.5, users and folders that can be made.
set -euo pipefail

# Tenths, as --threshold counts: 15 is 1.5 of 10. Ours is lower; this is what was promised.
readonly most=15
# --offline and --threshold came with this version.
readonly oldest=250

cd "$(dirname "$0")"

skip() {
    echo "systemd/verify.sh: SKIPPED, $1: nothing about the unit was checked"
    exit 0
}

command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
version=$(systemd-analyze --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
[ "${version:-0}" -ge "$oldest" ] || skip "systemd ${version:-?} is older than $oldest"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# `verify` wants every program to be there, and rosterd need not be installed. Another program stands in for it; all the
# rest is the unit as it is shipped.
sed 's#=/usr/bin/rosterd\b#=/bin/true#' rosterd.service > "$scratch/rosterd.service"

echo "systemd-analyze verify rosterd.service"
said=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$scratch/rosterd.service" 2>&1) || {
    echo "$said"
    echo "systemd/verify.sh: the unit does not verify"
    exit 1
}
# Unknown keys and values are warnings, and leave the exit code at 0.
if grep -F "rosterd.service" <<<"$said"; then
    echo "systemd/verify.sh: the unit verifies with warnings"
    exit 1
fi

echo "systemd-analyze security --offline=true --threshold=$most rosterd.service"
if ! rating=$(systemd-analyze security --no-pager --offline=true --threshold="$most" "$scratch/rosterd.service" 2>&1); then
    echo "$rating"
    echo "systemd/verify.sh: more exposed than $((most / 10)).$((most % 10))"
    exit 1
fi
tail -n 1 <<<"$rating"

if command -v systemd-sysusers >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "systemd-sysusers, systemd-tmpfiles (in a scratch root)"
    mkdir -p "$scratch/root/etc" "$scratch/root/srv"
    printf 'root:x:0:0:root:/root:/bin/sh\n' > "$scratch/root/etc/passwd"
    printf 'root:x:0:\n' > "$scratch/root/etc/group"
    systemd-sysusers --root="$scratch/root" "$PWD/rosterd.sysusers"
    # The example's inbox, with the rights that docs/inbox.md explains.
    systemd-tmpfiles --root="$scratch/root" --create "$PWD/rosterd.tmpfiles"
    rights=$(stat -c %a "$scratch/root/srv/rosterd/hris")
    [ "$rights" = 3770 ] || { echo "systemd/verify.sh: the inbox has the rights $rights, not 3770"; exit 1; }
else
    echo "systemd-sysusers, systemd-tmpfiles: not tried, that takes root"
fi
