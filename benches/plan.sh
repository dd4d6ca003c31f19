#!/usr/bin/env bash
# Times `rosterd plan` on an export with 1 % changed against the stored state, and prints the ratio to what a person would run
# instead, measured in the same run: a plain csv pass with a hash per row, and the csv-diff crate. Medians of RUNS runs, whole
# process. Seconds of a shared machine mean little; the ratios are what to quote.
#
#   benches/plan.sh [ROWS] [GROUPS] [RUNS]        default: 100000 400 7
#
# Needs python3 and ../shared/tools/gen_exports.py, which makes the exports.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-100000} groups=${2:-400} runs=${3:-7}
generator=${GENERATOR:-../shared/tools/gen_exports.py}
[ -f "$generator" ] || { echo "no $generator: it makes the exports"; exit 1; }

target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
cargo build --release --quiet
cargo build --release --quiet --manifest-path benches/baselines/Cargo.toml --target-dir "$target/baselines"
rosterd=$target/release/rosterd
baselines=$target/baselines/release/baselines

home=$(mktemp -d)
sandbox=
trap '[ -z "$sandbox" ] || kill "$sandbox" 2>/dev/null || true; rm -rf "$home"' EXIT
mkdir "$home/inbox"
python3 "$generator" --n "$rows" --groups "$groups" --seed 7 --out "$home/export"

cat >"$home/script.toml" <<'SCRIPT'
delay = "20ms"
[switches]
max_members = 100000
max_body = 100000000
[[plan]]
id = "pln_default"
name = "Default"
SCRIPT
"$rosterd" sandbox --listen 127.0.0.1:0 --script "$home/script.toml" --json >"$home/sandbox.json" &
sandbox=$!
until [ -s "$home/sandbox.json" ]; do sleep 0.05; done
base_url=$(python3 -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["base_url"])' "$home/sandbox.json")

cat >"$home/config.toml" <<CONFIG
state_dir = "$home/state"
[api]
base_url = "$base_url"
requests_per_second = 1000.0
max_in_flight = 16
members_per_request = 100000
[poll]
first_after = "100ms"
[control]
socket = "$home/control.sock"
[[source]]
name = "hris"
inbox = "$home/inbox"
[source.columns]
reference_id = "Employee ID"
first_name = "Legal First Name"
last_name = "Legal Last Name"
date_of_birth = "Birth Date"
email = ["Personal Email", "Work Email"]
phone = "Mobile Phone"
address_line_1 = "Primary Address: Address Line 1"
address_line_2 = "Primary Address: Address Line 2"
city = "Primary Address: City"
state = "Primary Address: State / Territory Code"
zipcode = "Primary Address: Zip / Postal Code"
[source.group]
column = "Payroll Company Code"
external_reference_id = "{value}"
create = true
[source.plan]
default = "pln_default"
[source.eligibility]
status = "Position Status"
covered = ["Active", "Leave"]
terminated = ["Terminated"]
start = "Hire Date"
end = "Termination Date"
CONFIG
export VITABLE_CONNECT_API_KEY=vit_apk_bench
"$rosterd" -c "$home/config.toml" sync "$home/export_day0.csv" | grep '^In sum'

python3 - "$runs" "$rosterd" "$baselines" "$home" <<'TIME'
import os, resource, statistics, subprocess, sys, time
runs, rosterd, baselines, home = int(sys.argv[1]), *sys.argv[2:5]
before, after = f"{home}/export_day0.csv", f"{home}/export_day1.csv"
commands = {
    "csv crate, hash per row": [baselines, "hash", after],
    "csv-diff crate": [baselines, "diff", before, after],
    "rosterd plan": [rosterd, "-c", f"{home}/config.toml", "plan", after],
}
seconds = {name: [] for name in commands}
cpu = {name: [] for name in commands}
peak = dict.fromkeys(commands, 0)
for turn in range(runs + 1):
    for name, command in commands.items():
        begun = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        took = time.perf_counter() - begun
        assert status == 0, f"{name} failed: {status}"
        if turn:  # the first run warms up
            seconds[name].append(took)
            cpu[name].append(usage.ru_utime + usage.ru_stime)
            peak[name] = max(peak[name], usage.ru_maxrss)
median = {name: statistics.median(times) for name, times in seconds.items()}
print(f"{'':26}{'median s':>9}{'min s':>8}{'cpu s':>8}{'peak MiB':>10}{'plan / it':>11}")
for name in commands:
    ratio = median["rosterd plan"] / median[name]
    print(f"{name:26}{median[name]:9.3f}{min(seconds[name]):8.3f}{statistics.median(cpu[name]):8.3f}{peak[name] / 1024:10.0f}{ratio:11.2f}")
TIME
