#!/bin/sh
# The long part of what docs/reliability.md tells: the same tests as in a normal run, with larger numbers. Takes about two hours on two
# cores; as root, else the power cuts and some disks are left out. Prints what was done; ends with 1 when anything failed.
#
#   tests/long.sh                 all of it
#   tests/long.sh kill outage     these
set -u
cd "$(dirname "$0")/.." || exit 1
export ROSTERD_CASES=300000 ROSTERD_CUTS=300 ROSTERD_CUTS_WITHOUT_FILTER=300 ROSTERD_KILLS=300 ROSTERD_DAMAGES=4000 ROSTERD_TEARS=100 \
    ROSTERD_SOURCES=100 ROSTERD_MEMBERS=500 ROSTERD_EXPORTS=400 ROSTERD_MONTHS=24 ROSTERD_OUTAGE_HOURS=24 ROSTERD_HOSTILE_MEGABYTES=2048 ROSTERD_STOPS=all ORACLE_SEEDS=10000
failed=0
part() {
    name=$1
    shift
    case " $parts " in *" $name "*) ;; *) return ;; esac
    echo "==> $name"
    "$@" -- --nocapture || failed=1
}
parts=${*:-powercut kill crash damage load soak outage hostile fuzz disk oracle}
part powercut cargo test --release --locked --test powercut
part kill cargo test --release --locked --test kill
part crash cargo test --release --locked --test crash
part damage cargo test --release --locked --lib corruption
part load cargo test --release --locked --test load
part soak cargo test --release --locked --test soak
part outage cargo test --release --locked --test outage
part hostile cargo test --release --locked --test hostile
part fuzz cargo test --release --locked --test fuzz
part disk cargo test --release --locked --test disk
part oracle cargo test --release --locked --test oracle
exit $failed
