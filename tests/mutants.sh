#!/bin/sh
# Switches each rule that protects coverage off in turn, and asks which suites notice. A rule that nobody notices is one that could
# break unseen. Prints a table; ends with 1 when a rule was noticed by no suite.
#
#   tests/mutants.sh                 every rule
#   tests/mutants.sh removals empty  these
#   SUITES="unit oracle" tests/mutants.sh
#   CARGO_FLAGS=--release tests/mutants.sh      a longer build, and a third of the time for the histories
#
# A suite that fails has noticed. ORACLE_SEEDS says how many histories are lived at most before it counts as blind.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${ORACLE_SEEDS:=200}" "${SUITES:=unit revert incidents oracle}" "${CARGO_FLAGS:=}"
# Files that remember failing cases would make every later run fail.
export ORACLE_SEEDS ORACLE_SHRINK=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1

# Said once, in the code.
rules=${*:-$(sed -n '/^pub const NAMES/,/^];/p' src/plan/guards.rs src/plan/mutants.rs | grep -o '"[a-z_]*"' | tr -d '"'
    sed -n '/^pub const RULES/,/];/p' src/plan/mutants.rs | grep -o '"[a-z_]*"' | tr -d '"')}

suite() {
    case $1 in
        unit) set -- --lib plan:: ;;
        revert) set -- --test travel ;;
        incidents) set -- --test incidents ;;
        oracle) set -- --test oracle ;;
    esac
    # shellcheck disable=SC2086 # several flags are several words
    cargo test --quiet --features mutants $CARGO_FLAGS "$@" >"$log" 2>&1
}

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
for name in $SUITES; do
    WITHOUT_RULE='' suite "$name" || { echo "$name fails with every rule in force:"; tail -20 "$log"; exit 1; }
done
blind=0
printf '| rule | noticed by |\n| --- | --- |\n'
for rule in $rules; do
    noticed=''
    for name in $SUITES; do
        if ! WITHOUT_RULE=$rule suite "$name"; then
            # How: the seed and the property, or how many tests.
            how=$(grep -oE '^seed [0-9]+: P[0-9]|[0-9]+ failed' "$log" | head -1 | sed 's/://')
            noticed="$noticed, $name ($how)"
        fi
    done
    printf '| %s | %s |\n' "$rule" "${noticed#, }"
    [ -n "$noticed" ] || blind=1
done
exit $blind
