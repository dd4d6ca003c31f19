//! Damage in every file of the state: bits flipped, ends cut off, blocks of zeros, files gone, files of a day before. Either all is
//! read as it was, or the state is refused; it is never less, never something else, and never empty.
//!
//! Each damaged state is opened in a process of its own, since sled may panic, spin or ask for any amount of memory over it.
//! `ROSTERD_DAMAGES=5000` asks for more than the few of a normal run, `ROSTERD_SEED` repeats a run.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Set for the process that opens a damaged state: where it lies.
const CHILD: &str = "ROSTERD_DAMAGED_STATE";
const FEW_DAMAGES: usize = 120;
/// A state of this size opens in a fraction of a second.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// More than a whole daemon takes.
const MOST_MEMORY: u64 = 4 << 30;
/// Exit codes of the process; anything else is a crash.
const READ: i32 = 0;
const REFUSED: i32 = 74;

/// Three groups and some days; the last thing written is a settlement. Also the state of the day before.
/// The history of all but the last day is in an archive.
fn build(dir: &Path) -> PathBuf {
    build_watched(dir, true, |_| {})
}

/// The same, and what is on disk is looked at whenever something was acknowledged.
fn build_watched(dir: &Path, is_compacted: bool, mut acknowledged: impl FnMut(&Path)) -> PathBuf {
    let state = dir.join("state");
    let store = Store::open(&state, URL).unwrap();
    for day in 1..=4 {
        if is_compacted && day != 1 {
            store.compact().unwrap().unwrap();
        }
        let run_id = format!("run_{day}");
        let works: Vec<Work> = ["acme", "beta", "core"]
            .iter()
            .enumerate()
            .map(|(at, group)| work(&format!("bat_{day}{at}"), &run_id, group))
            .collect();
        let ids: Vec<String> = works.iter().map(|work| work.batch.batch.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        store.accept(&run(&run_id, &ids), works.clone(), &source(Some(&run_id))).unwrap();
        acknowledged(&state);
        for Work { batch, .. } in works {
            let group = batch.group.to_string();
            store.record_batch(&Batch { phase: Phase::Accepted, attempts: 1, ..batch.clone() }).unwrap();
            acknowledged(&state);
            let people: Vec<String> = (0..60 * day).map(|number| format!("E{number:04}")).collect();
            let people: Vec<&str> = people.iter().map(String::as_str).collect();
            let settled = Batch { phase: Phase::Completed, attempts: 1, ..batch };
            let changes = joined(&people[60 * (day - 1)..]);
            let roster = Some(roster(&group, &people));
            store.settle(&Settlement { batch: settled, roster, changes, pause: None }).unwrap();
            acknowledged(&state);
        }
        if day == 3 {
            // What is on disk now is what would be found after a kill.
            copy(&state, &dir.join("before"));
        }
    }
    state
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, to).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Not a test of its own: opens a damaged state, reads everything, and says what it read.
#[test]
#[ignore = "run by the other test, in a process of its own"]
fn open_a_damaged_state() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let limit = rustix::process::Rlimit { current: Some(MOST_MEMORY), maximum: Some(MOST_MEMORY) };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
    let read = || -> Result<String, StoreError> {
        let store = Store::open(Path::new(&dir), URL)?;
        let mut file = tempfile::tempfile().unwrap();
        store.back_up(&mut file, time(0))?;
        let report = store.verify()?;
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        Ok(format!("{} {:?}", blake3::hash(&bytes).to_hex(), report.findings))
    };
    #[expect(clippy::exit, reason = "this is a process of its own, and it talks to the test")]
    match read() {
        Ok(all) => {
            println!("read: {all}");
            std::process::exit(READ);
        }
        Err(error) => {
            println!("refused: {error}");
            std::process::exit(REFUSED);
        }
    }
}

/// How the process ended, and its last word.
fn open_in_a_process(dir: &Path) -> (Option<i32>, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::corruption::open_a_damaged_state", "--ignored", "--nocapture"])
        .env(CHILD, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let code = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if HANGS_AFTER < begun.elapsed() => {
                child.kill().unwrap();
                child.wait().unwrap();
                return (None, "it hangs".to_owned());
            }
            None => std::thread::park_timeout(Duration::from_millis(2)),
        }
    };
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let last = said.lines().find(|line| line.starts_with("read: ") || line.starts_with("refused: "));
    (code, last.unwrap_or_default().to_owned())
}

/// Damages one file, and says how.
fn damage(file: &Path, before: &Path, random: &mut fastrand::Rng) -> String {
    let mut bytes = std::fs::read(file).unwrap();
    // Most of sled's file is empty.
    let filled = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let within = if random.u8(0..10) == 0 { bytes.len() } else { filled };
    let at = if within == 0 { 0 } else { random.usize(0..within) };
    let how = match random.u8(0..6) {
        0 | 1 if within != 0 => {
            let bit = random.u8(0..8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        2 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        3 if within != 0 => {
            let end = (at + [1, 16, 512, 4096][random.usize(0..4)]).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        4 if before.exists() => {
            bytes = std::fs::read(before).unwrap();
            "of the day before".to_owned()
        }
        _ => {
            std::fs::remove_file(file).unwrap();
            return "deleted".to_owned();
        }
    };
    std::fs::write(file, bytes).unwrap();
    how
}

fn number(name: &str) -> Option<usize> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

#[test]
fn a_damaged_state_is_read_as_it_was_or_refused() {
    let seed = number("ROSTERD_SEED").map_or_else(|| fastrand::u64(..), |seed| seed as u64);
    let damages = number("ROSTERD_DAMAGES").unwrap_or(FEW_DAMAGES);
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let state = build(dir.path());
    let (code, whole) = open_in_a_process(&state);
    assert_eq!(code, Some(READ), "{whole}");
    let names: Vec<PathBuf> = files(&state).iter().map(|file| file.strip_prefix(&state).unwrap().to_owned()).collect();
    let (mut read, mut refused) = (0, 0);
    for number in 0..damages {
        let damaged = dir.path().join("damaged");
        copy(&state, &damaged);
        // The files in turn; the one with the records as often as all others together.
        let name = if number % 2 == 0 { Path::new("db/db") } else { &names[number / 2 % names.len()] };
        let how = damage(&damaged.join(name), &dir.path().join("before").join(name), &mut random);
        let case = format!("ROSTERD_SEED={seed}, damage {number}: {} {how}", name.display());
        let (code, said) = open_in_a_process(&damaged);
        match code {
            Some(READ) => {
                assert_eq!(said, whole, "{case}: it was read, and is not as it was");
                read += 1;
            }
            Some(REFUSED) => {
                assert!(said.contains("restore"), "{case}: {said}");
                refused += 1;
            }
            other => panic!("{case}: ended with {other:?}: {said}"),
        }
        std::fs::remove_dir_all(&damaged).unwrap();
    }
    println!("ROSTERD_SEED={seed}: {damages} damages, {read} read as it was, {refused} refused");
}

/// What a power cut may leave of a file that was `before` when all of it was on disk, and should have become `after`: any of the
/// disk's sectors, of any age. The first ones only, as often as not.
fn torn(before: &[u8], after: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    const SECTOR: usize = 512;
    let mut bytes = before.to_vec();
    // A file that grew has zeros where nothing was written yet.
    bytes.resize(if random.bool() { after.len() } else { before.len() }, 0);
    let ends: Vec<usize> = (0..bytes.len()).step_by(SECTOR).filter(|at| differ(before, after, *at, SECTOR)).collect();
    let (is_in_order, share) = (random.bool(), random.f64());
    let reached = random.usize(0..=ends.len());
    for (number, at) in ends.into_iter().enumerate() {
        if if is_in_order { number < reached } else { random.f64() < share } {
            let end = (at + SECTOR).min(bytes.len()).min(after.len());
            bytes[at..end].copy_from_slice(&after[at..end]);
        }
    }
    bytes
}

fn differ(one: &[u8], other: &[u8], at: usize, length: usize) -> bool {
    let part = |bytes: &[u8]| bytes.get(at..bytes.len().min(at + length)).unwrap_or_default().to_vec();
    part(one) != part(other)
}

/// `ROSTERD_TEARS=50` tears every write so often.
#[test]
fn a_write_that_is_torn_anywhere_leaves_all_that_was_acknowledged_before_it() {
    let seed = number("ROSTERD_SEED").map_or_else(|| fastrand::u64(..), |seed| seed as u64);
    let tears = number("ROSTERD_TEARS").unwrap_or(3);
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut states = Vec::new();
    build_watched(dir.path(), false, |state| {
        let kept = dir.path().join(format!("kept{}", states.len()));
        copy(state, &kept);
        states.push(kept);
    });
    let whole: Vec<String> = states.iter().map(|state| open_copy_of(state, dir.path(), None)).collect();
    let (mut without, mut with) = (0, 0);
    for (number, pair) in states.windows(2).enumerate() {
        let file = |state: &Path| std::fs::read(state.join("db/db")).unwrap();
        let (before, after) = (file(&pair[0]), file(&pair[1]));
        assert_ne!(before, after, "an acknowledged write is in the file");
        for tear in 0..tears {
            let bytes = torn(&before, &after, &mut random);
            let said = open_copy_of(&pair[0], dir.path(), Some(&bytes));
            let case = format!("ROSTERD_SEED={seed}, write {number}, tear {tear}");
            // All or nothing of the write that was under way.
            without += usize::from(said == whole[number]);
            with += usize::from(said == whole[number + 1]);
            assert!(said == whole[number] || said == whole[number + 1], "{case}: {said}");
        }
    }
    println!("ROSTERD_SEED={seed}: {without} torn writes are not there, {with} are");
}

/// What is read of a copy of a state, whose records may be replaced.
fn open_copy_of(state: &Path, dir: &Path, records: Option<&[u8]>) -> String {
    let opened = dir.join("opened");
    copy(state, &opened);
    if let Some(records) = records {
        std::fs::write(opened.join("db/db"), records).unwrap();
    }
    let (code, said) = open_in_a_process(&opened);
    std::fs::remove_dir_all(&opened).unwrap();
    format!("{code:?} {said}")
}
