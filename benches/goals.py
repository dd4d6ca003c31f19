#!/usr/bin/env python3
"""Times rosterd on large exports beside what a person would run instead, in the same run, and prints a table: goal, measured, ratio,
verdict. Whole processes, medians. Seconds of a shared machine mean little; the ratios are what to quote.

    benches/goals.py                              1,000,000 rows, 2,000 groups
    benches/goals.py --rows 100000 --groups 400
    benches/goals.py --rows 10000000 --groups 20000 --runs 1 --keeps-nothing
                                                  for the growth: compare with a run of 1,000,000; the sandbox, which remembers
                                                  everybody, has no memory for so many, so an API that keeps nothing answers

Needs ../shared/tools/gen_exports.py, which makes the exports. Goals are those of 1,000,000 and 100,000 rows.
"""
import argparse, csv, datetime, json, os, random, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)

CONFIG = """
state_dir = "{home}/{state}"
[api]
base_url = "{url}"
requests_per_second = 1000.0
max_in_flight = 100
members_per_request = 100000
[poll]
first_after = "10ms"
[backup]
schedule = "off"
[control]
socket = "{home}/control.sock"
[[source]]
name = "hris"
inbox = "{home}/inbox"
settle = "1s"
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
external_reference_id = "{{value}}"
create = true
[source.plan]
default = "pln_default"
[source.eligibility]
status = "Position Status"
covered = ["Active", "Leave"]
terminated = ["Terminated"]
start = "Hire Date"
end = "Termination Date"
"""

SCRIPT = """
delay = "0s"
[switches]
max_members = 100000
max_body = 100000000
[[plan]]
id = "pln_default"
name = "Default"
"""


def build():
    """The release binary, and the baselines."""
    metadata = subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT)
    target = json.loads(metadata)["target_directory"]
    subprocess.check_call(["cargo", "build", "--release", "--quiet"], cwd=ROOT)
    manifest = os.path.join(HERE, "baselines", "Cargo.toml")
    command = ["cargo", "build", "--release", "--quiet", "--manifest-path", manifest, "--target-dir", f"{target}/baselines"]
    subprocess.check_call(command, cwd=ROOT)
    return f"{target}/release/rosterd", f"{target}/baselines/release/baselines"


def serve_nothing(baselines):
    """An API that keeps nothing, and its base URL."""
    api = subprocess.Popen([baselines, "accept"], stdout=subprocess.PIPE, text=True)
    return api, api.stdout.readline().strip()


def serve(home, rosterd):
    """A sandbox, and its base URL."""
    listen = [rosterd, "sandbox", "--listen", "127.0.0.1:0", "--script", f"{home}/script.toml", "--json"]
    sandbox = subprocess.Popen(listen, stdout=subprocess.PIPE)
    return sandbox, json.loads(sandbox.stdout.readline())["base_url"]


def unit():
    """The environment that the unit gives the service, on top of ours: where it delivers, and where a daemon runs."""
    with open(os.path.join(ROOT, "systemd", "rosterd.service")) as lines:
        given = [line.strip().removeprefix("Environment=") for line in lines if line.startswith("Environment=")]
    return os.environ | dict(one.split("=", 1) for one in given)


# Of a plan: all of it would be delivered, or a guard would hold some of it.
PLANNED = (0, 3)


def run(command, ends_with=(0,), env=None):
    """Seconds, peak MiB and output of a process."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        took = time.perf_counter() - begun
        out.seek(0)
        said = out.read().decode()
    code = os.waitstatus_to_exitcode(status)
    if code not in ends_with:
        sys.exit(f"{command} ended with {code}: {said[-2000:]}")
    return took, usage.ru_maxrss / 1024, said


def together(runs, commands):
    """Medians of several commands, run in turn so that the machine's moods meet all of them."""
    seconds, peak = {name: [] for name in commands}, dict.fromkeys(commands, 0)
    for turn in range(runs + 1):
        for name, (command, ends_with) in commands.items():
            took, memory, _ = run(command, ends_with)
            if turn or runs == 1:  # the first one warms up
                seconds[name].append(took)
                peak[name] = max(peak[name], memory)
    return {name: statistics.median(times) for name, times in seconds.items()}, peak


class Table:
    def __init__(self):
        self.rows = []

    def add(self, what, goal, measured, unit, detail):
        verdict = "" if goal is None else "met" if measured <= goal else "not met"
        self.rows.append((what, "" if goal is None else f"{goal:g}{unit}", f"{measured:.2f}{unit}", detail, verdict))
        print("| " + " | ".join(self.rows[-1]) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--generator", default=os.path.join(ROOT, "..", "shared", "tools", "gen_exports.py"))
    parser.add_argument("--shuffle", nargs=2, metavar=("EXPORT", "TO"), help="only write the rows of an export in another order")
    parser.add_argument("--keeps-nothing", action="store_true", help="deliver to an API that keeps nothing, not to the sandbox")
    options = parser.parse_args()
    if options.shuffle:
        return shuffled(*options.shuffle)
    if not os.path.isfile(options.generator):
        sys.exit(f"no {options.generator}: it makes the exports")
    rosterd, baselines = build()
    home = tempfile.mkdtemp()
    sandbox = None
    try:
        os.mkdir(f"{home}/inbox")
        make = [options.generator, "--n", options.rows, "--groups", options.groups, "--seed", 7, "--out", f"{home}/export"]
        subprocess.check_call([sys.executable, *map(str, make)], stdout=subprocess.DEVNULL)
        with open(f"{home}/script.toml", "w") as script:
            script.write(SCRIPT)
        sandbox, url = serve_nothing(baselines) if options.keeps_nothing else serve(home, rosterd)
        for state in ["state", "empty"]:
            with open(f"{home}/{state}.toml", "w") as config:
                config.write(CONFIG.format(home=home, url=url, state=state))
        measure(options, home, rosterd, baselines)
    finally:
        if sandbox:
            sandbox.kill()
            sandbox.wait()
        shutil.rmtree(home)


def measure(options, home, rosterd, baselines):
    os.environ["VITABLE_CONNECT_API_KEY"] = "vit_apk_bench"
    table, runs = Table(), options.runs
    day0, day1, noise = (f"{home}/{name}.csv" for name in ("export_day0", "export_day1", "noise"))
    is_million = options.rows == 1_000_000
    print(f"{options.rows} rows, {options.groups} groups, medians of {runs}")
    print("| what | goal | measured | detail | verdict |\n| --- | --- | --- | --- | --- |", flush=True)

    # Before anything is on record.
    first = lambda: [rosterd, "-c", f"{home}/empty.toml", "plan", day0]
    diff = lambda before, after: ([baselines, "diff", before, after], (0,))
    seconds, peak = together(runs, {"plan": (first(), PLANNED), "diff": diff(day0, day1)})
    table.add("first load, planning alone", 1.5 if is_million else None, seconds["plan"] / seconds["diff"], " of csv-diff",
              f"{seconds['plan']:.2f} s to {seconds['diff']:.2f} s")
    table.add("its memory", 300, peak["plan"], " MiB", "peak")

    took, memory, _ = run([rosterd, "-c", f"{home}/state.toml", "sync", day0], env=unit())
    _, _, said = run([baselines, "send", day0])
    sent = float(said.split()[0])
    to = "an API that keeps nothing" if options.keeps_nothing else "a sandbox"
    table.add(f"first load, delivered to {to}", 2.0 if is_million else None, (took - seconds["plan"]) / sent,
              " of serialising and sending", f"{took:.1f} s in all, planning {seconds['plan']:.1f} s, sending {sent:.2f} s")
    table.add("its memory", 400 if is_million else None, memory, " MiB", "peak")
    exchanged = float(run([baselines, "exchange", day0])[2])
    table.add("the same rosters only read and answered, nothing checked or kept", None, exchanged / sent,
              " of serialising and sending", f"{exchanged:.2f} s")

    plan = [rosterd, "-c", f"{home}/state.toml", "plan"]
    commands = {"plan": ([*plan, day1], PLANNED), "diff": diff(day0, day1), "hash": ([baselines, "hash", day1], (0,))}
    seconds, peak = together(runs, commands)
    table.add("plan, 1 % changed", 0.65 if is_million else 0.8, seconds["plan"] / seconds["diff"], " of csv-diff",
              f"{seconds['plan']:.3f} s to {seconds['diff']:.3f} s")
    table.add("the same", 1.7 if is_million else None, seconds["plan"] / seconds["hash"], " of a csv pass with a hash per row",
              f"{seconds['plan']:.3f} s to {seconds['hash']:.3f} s")
    table.add("its memory", 300, peak["plan"], " MiB", "peak")

    # In a process of its own: a child's peak begins with what its parent holds.
    subprocess.check_call([sys.executable, __file__, "--shuffle", day0, noise])
    seconds, peak = together(runs, {"plan": ([*plan, noise], PLANNED), "diff": diff(day0, noise)})
    table.add("plan, same rows in another order and all quoted", 0.9 if is_million else None, seconds["plan"] / seconds["diff"], " of csv-diff",
              f"{seconds['plan']:.3f} s to {seconds['diff']:.3f} s")
    table.add("its memory", 300, peak["plan"], " MiB", "peak")

    again = [rosterd, "-c", f"{home}/state.toml", "sync", day0]
    commands = {"again": (again, (0,)), "sha256sum": (["sha256sum", day0], (0,)), "cat": (["sh", "-c", f"exec cat {day0} >/dev/null"], (0,))}
    seconds, peak = together(runs, commands)
    table.add("the same file again, refused", None, seconds["again"] / seconds["cat"], " of reading it",
              f"{seconds['again']:.3f} s; sha256sum {seconds['sha256sum']:.3f} s, cat {seconds['cat']:.3f} s")
    idle(home, rosterd, table)
    table.add("100 rows dropped: to the first request, beyond `settle`", 0.1, small(home, rosterd), " s", "settle 1 s")
    size = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(f"{home}/state") for name in names)
    table.add("state on disk after the first load", None, size / os.path.getsize(day0), " of the export", f"{size / 1e6:.0f} MB")


def start(home, command):
    """A daemon that is ready: a command before that would take the state for itself."""
    daemon = subprocess.Popen([*command, "run"], stderr=subprocess.DEVNULL, env=unit())
    while not os.path.exists(f"{home}/control.sock"):
        if daemon.poll() is not None:
            sys.exit("the daemon did not start")
        time.sleep(0.05)
    return daemon


def idle(home, rosterd, table):
    """What a daemon takes that has nothing to do, and how quickly it answers."""
    command = [rosterd, "-c", f"{home}/state.toml"]
    daemon = start(home, command)

    def look(file):
        with open(f"/proc/{daemon.pid}/{file}") as about:
            return about.read()

    resident = lambda: int(look("status").split("VmRSS:")[1].split()[0]) / 1024
    ticks = lambda: sum(map(int, look("stat").rsplit(")", 1)[1].split()[11:13]))
    try:
        time.sleep(5)
        before, at_rest = ticks(), resident()
        time.sleep(20)
        used = (ticks() - before) / os.sysconf("SC_CLK_TCK") / 20 * 100
        table.add("the daemon, idle: memory", 25, at_rest, " MiB", "resident, 5 s after the start, no backup made yet")
        table.add("its processor time", None, used, " % of a core", "over 20 s")
        with open(f"{home}/export_day0.csv", newline="") as export:
            rows = csv.reader(export)
            next(rows)
            row = next(rows)
        person, group = row[0], row[11].lower()
        run_id = json.loads(run([*command, "history", "--limit", "1", "--json"])[2].splitlines()[0])["run"]
        at = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = {"history": ["history"], "member": ["member", person], "roster --at": ["roster", group, "--at", at],
                 "show RUN, of everybody's first load": ["show", run_id], "status": ["status"]}
        seconds, _ = together(5, {what: ([*command, *words], (0, 3)) for what, words in asked.items()})
        asked_plan = [run([*command, "plan", f"{home}/export_day1.csv"], PLANNED)[0] for _ in range(3)]
        table.add("plan, 1 % changed, asked of the daemon", None, statistics.median(asked_plan), " s", "the whole command")
        table.add("the daemon after these plans: memory", None, resident(), " MiB", "resident")
        for what, took in seconds.items():
            goal = None if what == "status" else 0.3 if what == "member" else 0.1
            table.add(f"`{what}`", goal, took, " s", "of that daemon, the whole command")
    finally:
        daemon.terminate()
        daemon.wait()


def small(home, rosterd):
    """Seconds from a dropped export of 100 rows to its first request, beyond the second for which a file must be left alone."""
    os.makedirs(f"{home}/small/inbox")
    # One that has no groups yet.
    sandbox, url = serve(home, rosterd)
    with open(f"{home}/small.toml", "w") as config:
        config.write(CONFIG.format(home=f"{home}/small", url=url, state="state"))
    with open(f"{home}/export_day0.csv", newline="") as export:
        rows = [row for row, _ in zip(csv.reader(export), range(101))]

    def ask(*words):
        answer = subprocess.run([rosterd, "-c", f"{home}/small.toml", *words, "--json"], capture_output=True, text=True)
        return [json.loads(line) for line in answer.stdout.splitlines()]

    daemon = start(f"{home}/small", [rosterd, "-c", f"{home}/small.toml"])
    took = []
    try:
        for number in range(6):
            rows[number + 1][rows[0].index("Legal First Name")] = "Changed"
            with open(f"{home}/small/inbox/export.part", "w", newline="") as drop:
                csv.writer(drop).writerows(rows)
            os.rename(f"{home}/small/inbox/export.part", f"{home}/small/inbox/{number}.csv")
            dropped = time.time()
            while not (runs := [run for run in ask("history") if run["file"]["name"] == f"{number}.csv" and run["finished_at"]]):
                time.sleep(0.1)
            sent = min(batch["submitted_at"] for batch in ask("show", runs[0]["run"])[0]["batches"])
            sent = datetime.datetime.fromisoformat(sent[:26] + "+00:00").timestamp()
            took.append(sent - dropped - 1.0)
    finally:
        sandbox.kill()
        sandbox.wait()
        daemon.terminate()
        daemon.wait()
    return statistics.median(took[1:])  # the first one makes the groups


def shuffled(export, to):
    """The same rows in another order, with all quotes that there can be."""
    with open(export, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    random.Random(7).shuffle(rows)
    with open(to, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
