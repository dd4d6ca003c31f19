//! `plan`: what an export would change. `show RUN` uses the same sections.

use std::collections::{BTreeMap, BTreeSet};

use crate::export::problem::{Likes, Severity, likes};
use crate::report::{
    Counts, FileFacts, GroupReport, GuardReport, GuardVerdict, PlanReport, PlanVerdict, ProblemReport,
};
use crate::roster::ids::{GroupRef, ReferenceId};
use crate::roster::member::Field;

use super::json::json_plan;
use super::page::Page;
use super::status::{COMPARE, NEWER_STATE};
use super::words::{clean, count, many, shell_path, shell_word, some, stop};
use super::{Screen, Tone};

// With these a plan of any size stays below 200 lines on a terminal of 80 columns, most entries taking two lines.

/// Problems shown on a terminal.
const PROBLEMS: usize = 20;
/// Guards shown that hold.
const HELD_GUARDS: usize = 15;
/// Guards shown that are near their limit.
const NEAR_GUARDS: usize = 5;
/// Lines for groups with their people.
const GROUP_LINES: usize = 60;
/// Groups shown after those by their sums alone.
const GROUP_SUMS: usize = 20;
/// Entries of one group's class that are told apart: fields that changed, other groups, reasons.
const PARTS: usize = 5;

/// Groups of which one guard says its sentence in full.
const ALIKE: usize = 3;

/// Guards that no approval can pass, since what they stop cannot work.
const NEVER_APPROVED: [&str; 2] = ["no_group", "members_per_request"];

/// How much of a list is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The first of it.
    Short,
    /// All of it.
    Full,
}

/// What the export would change, and the command that would do it.
pub fn plan(screen: &Screen, plan: &PlanReport, counts: &Counts) -> String {
    if screen.is_json() {
        return json_plan(plan, counts);
    }
    let mut page = Page::new(*screen);
    let (said, tone) = verdict(plan);
    page.say_in(tone, said);
    page.say(&format!("{}, source {}", file(plan.file.as_ref()), clean(plan.source.as_str())));
    problems(&mut page, plan, if screen.is_terminal { Depth::Short } else { Depth::Full });
    guards(&mut page, &plan.guards, Depth::Short);
    groups(&mut page, *screen, &plan.groups);
    page.gap();
    page.say(&format!("In sum: {}.", sums(counts)));
    page.gap();
    next(&mut page, plan);
    page.into_text()
}

fn verdict(plan: &PlanReport) -> (&'static str, Tone) {
    match plan.verdict {
        PlanVerdict::Apply => ("Plan: would be delivered.", Tone::Good),
        PlanVerdict::Hold if is_held_whole(&plan.guards) => ("Plan: the whole file would be held.", Tone::Doubtful),
        PlanVerdict::Hold => ("Plan: a part would be held, the rest delivered.", Tone::Doubtful),
        PlanVerdict::Reject => ("Plan: the file is unusable and would be rejected.", Tone::Bad),
        PlanVerdict::Unchanged => ("Plan: nothing changes.", Tone::Good),
    }
}

/// The file in one phrase.
pub(super) fn file(file: Option<&FileFacts>) -> String {
    let Some(file) = file else { return "no file".to_owned() };
    let hash: String = file.sha256.chars().take(12).collect();
    // Of a duplicate, or of a file that was rejected for its header, no row was read.
    let rows = if file.rows == 0 { String::new() } else { format!(", {}", many(file.rows, "row", "rows")) };
    format!("{} (sha256 {}){rows}", clean(&file.name), clean(&hash))
}

/// Guards without a group look at the whole file, and hold all of it.
fn is_held_whole(guards: &[GuardReport]) -> bool {
    guards.iter().any(|guard| guard.verdict == GuardVerdict::Hold && guard.group.is_none())
}

/// Whether a person's approval would release anything of what these guards hold.
pub(super) fn is_approvable(guards: &[GuardReport]) -> bool {
    let mut held = guards.iter().filter(|guard| guard.verdict == GuardVerdict::Hold).peekable();
    held.peek().is_none() || held.any(|guard| !NEVER_APPROVED.contains(&guard.guard.as_str()))
}

/// Whether the file is held because the records themselves are in doubt.
pub(super) fn is_mistrusted(guards: &[GuardReport]) -> bool {
    let is_it = |guard: &GuardReport| guard.guard == "baseline" && guard.group.is_none();
    guards.iter().any(|guard| is_it(guard) && guard.verdict == GuardVerdict::Hold)
}

/// Rows that cost somebody their place, then what was repaired; each by line.
pub(super) fn problems(page: &mut Page, plan: &PlanReport, depth: Depth) {
    let (errors, warnings): (Vec<_>, Vec<_>) =
        plan.problems.iter().partition(|report| report.problem.code.severity() == Severity::Error);
    let room = match depth {
        Depth::Short => PROBLEMS,
        Depth::Full => usize::MAX,
    };
    let left = room.saturating_sub(errors.len());
    list_problems(page, "Rows that cannot be used", errors, room);
    list_warnings(page, "Rows that are used, with something to know", &warnings, left);
}

/// Repairs, those that say the same together.
fn list_warnings(page: &mut Page, heading: &str, reports: &[&ProblemReport], room: usize) {
    let found = likes(reports.iter().map(|report| &report.problem));
    if found.is_empty() {
        return;
    }
    page.heading(&format!("{heading} ({})", found.iter().map(|likes| likes.count).sum::<u64>()));
    for likes in found.iter().take(room) {
        page.item(2, &warning(likes));
    }
    rest(page, found.len(), room);
}

/// One finding, or several that say the same.
pub(in crate::cli) fn warning(likes: &Likes<'_>) -> String {
    let place = likes.place().map_or_else(|| "file".to_owned(), |place| place.to_lowercase());
    let column = likes.first.column.as_deref().map(|column| format!(", {}", clean(column))).unwrap_or_default();
    let person = likes.first.reference_id.as_deref().filter(|_| likes.count == 1);
    let person = person.map(|id| format!(", id {}", clean(id))).unwrap_or_default();
    format!("{place}{column}{person}: {}{}", clean(&likes.message), stop(&likes.message))
}

fn list_problems(page: &mut Page, heading: &str, mut reports: Vec<&ProblemReport>, room: usize) {
    if reports.is_empty() {
        return;
    }
    reports.sort_by_key(|report| report.problem.line);
    page.heading(&format!("{heading} ({})", reports.len()));
    for report in reports.iter().take(room) {
        page.item(2, &problem(report));
    }
    rest(page, reports.len(), room);
}

fn problem(report: &ProblemReport) -> String {
    let found = &report.problem;
    let place = if found.line == 0 { "file".to_owned() } else { format!("line {}", found.line) };
    let column = found.column.as_deref().map(|column| format!(", {}", clean(column))).unwrap_or_default();
    let person = found.reference_id.as_deref().map(|id| format!(", id {}", clean(id))).unwrap_or_default();
    let covered = match report.still_covered {
        Some(true) => " Still covered: yes.",
        Some(false) => " Still covered: no.",
        None => "",
    };
    format!("{place}{column}{person}: {}{}{covered}", clean(&found.message), stop(&found.message))
}

/// How many entries of a list are not shown, and who shows them.
fn rest(page: &mut Page, length: usize, room: usize) {
    if room < length {
        page.item(2, &format!("… and {} more (--json has all)", length - room));
    }
}

/// Guards with something to say, each with its sum; those that pass at a distance are only counted.
pub(super) fn guards(page: &mut Page, guards: &[GuardReport], depth: Depth) {
    if guards.is_empty() {
        return;
    }
    let (passed, loud): (Vec<_>, Vec<_>) = guards.iter().partition(|guard| guard.verdict == GuardVerdict::Pass);
    let (near, far): (Vec<_>, Vec<_>) = passed.into_iter().partition(|guard| is_near(guard));
    page.heading("Guards");
    let (loud_room, near_room) = match depth {
        Depth::Short => (HELD_GUARDS, NEAR_GUARDS),
        Depth::Full => (usize::MAX, usize::MAX),
    };
    for (list, room) in [(&loud, loud_room), (&near, near_room)] {
        let folded = fold(list);
        for (guard, others) in folded.iter().take(room) {
            let (word, tone) = guard_word(guard);
            let text = others.as_deref().unwrap_or(&guard.sum);
            page.entry(2, word, Some(tone), &format!("{}: {}", clean(&guard.guard), clean(text)));
        }
        rest(page, folded.len(), room);
    }
    if !far.is_empty() {
        let other = if loud.is_empty() && near.is_empty() { "" } else { "other " };
        let guards = if far.len() == 1 { "guard" } else { "guards" };
        page.item(2, &format!("{} {other}{guards} passed, not near a limit.", far.len()));
    }
}

/// Guards in their order; of one that says its sentence in many groups the first few, then one line with the other groups.
fn fold<'a>(guards: &[&'a GuardReport]) -> Vec<(&'a GuardReport, Option<String>)> {
    let mut folded = Vec::new();
    let mut seen: BTreeMap<(&str, GuardVerdict), Vec<&GuardReport>> = BTreeMap::new();
    for guard in guards {
        let alike = seen.entry((guard.guard.as_str(), guard.verdict)).or_default();
        alike.push(guard);
        if alike.len() <= ALIKE {
            folded.push((*guard, None));
        }
    }
    for alike in seen.values() {
        match alike.get(ALIKE..) {
            None | Some([]) => {}
            Some([only]) => folded.push((*only, None)),
            Some(others @ [first, ..]) => {
                let group =
                    |guard: &&GuardReport| guard.group.as_ref().map_or("the file", |group| group.as_str()).to_owned();
                let people: u64 = others.iter().map(|guard| guard.value).sum();
                let groups = many(count(others.len()), "more group", "more groups");
                let text = format!("the same in {groups}, {people} in all: {}", some(others, group));
                folded.push((*first, Some(text)));
            }
        }
    }
    // What belongs together stands together, in the order in which each guard came first.
    let order = |name: &str| guards.iter().position(|guard| guard.guard == name);
    folded.sort_by_key(|(guard, _)| order(&guard.guard));
    folded
}

/// From four fifths of the limit on, the next export may well be held.
fn is_near(guard: &GuardReport) -> bool {
    guard.value != 0 && guard.limit.saturating_mul(4) <= guard.value.saturating_mul(5)
}

fn guard_word(guard: &GuardReport) -> (&'static str, Tone) {
    match guard.verdict {
        GuardVerdict::Pass => ("near", Tone::Good),
        GuardVerdict::Approved => ("approved", Tone::Good),
        GuardVerdict::Hold => ("held", Tone::Doubtful),
        GuardVerdict::Reject => ("rejected", Tone::Bad),
    }
}

/// The groups with their people, those that lose or hold most first.
pub(super) fn groups(page: &mut Page, screen: Screen, groups: &[GroupReport]) {
    if groups.is_empty() {
        return;
    }
    page.heading(&format!("Groups with changes ({})", groups.len()));
    let mut tallies: Vec<_> = groups.iter().map(|group| (Tally::of(group), group)).collect();
    tallies.sort_by_key(|(tally, _)| std::cmp::Reverse(tally.weight()));
    let mut tallies = tallies.into_iter().peekable();
    let mut used = 0;
    while let Some((tally, group)) = tallies.peek() {
        let mut block = Page::new(screen);
        people(&mut block, tally, group);
        if used != 0 && GROUP_LINES < used + block.lines() {
            break;
        }
        used += block.lines();
        page.append(&block);
        tallies.next();
    }
    for (tally, group) in tallies.by_ref().take(GROUP_SUMS) {
        page.item(2, &tally.line(&group.group));
    }
    let (left, sum) = tallies.fold((0, Tally::default()), |(n, sum), (tally, _)| (n + 1, sum.plus(&tally)));
    if left != 0 {
        let groups = many(left, "more group", "more groups");
        page.item(2, &format!("… and {groups}:{} (--json has all)", sum.signs()));
    }
    let mut with_new_plan = groups
        .iter()
        .flat_map(|group| &group.changed)
        .filter(|changed| changed.fields.iter().any(|field| field == Field::PlanId.name()))
        .peekable();
    let has_new_plan = with_new_plan.peek().is_some();
    let joining = with_new_plan.by_ref().filter(|changed| changed.joins_again).count();
    if joining != 0 {
        let people = many(count(joining), "person with a new plan leaves", "people with a new plan leave");
        page.item(2, &format!("{people} and joins again: no coverage in between, and a new subscription."));
    } else if has_new_plan {
        page.item(2, "A changed plan_id is sent, but the API keeps members on the plan that they were added with.");
    }
}

/// How many people in each class of a group.
#[derive(Clone, Copy, Default)]
struct Tally {
    before: u64,
    after: u64,
    new: u64,
    returning: u64,
    changed: u64,
    moved_in: u64,
    moved_out: u64,
    removed: u64,
    kept: u64,
}

impl Tally {
    fn of(group: &GroupReport) -> Self {
        Self {
            before: group.before,
            after: group.after,
            new: count(group.new.len()),
            returning: count(group.returning.len()),
            changed: count(group.changed.len()),
            moved_in: count(group.moved_in.len()),
            moved_out: count(group.moved_out.len()),
            removed: count(group.terminated.len() + group.missing.len()),
            kept: kept(group).values().map(|ids| count(ids.len())).sum(),
        }
    }

    /// Lost coverage weighs more than any other change.
    fn weight(&self) -> (u64, u64) {
        (self.removed + self.kept, self.new + self.returning + self.changed + self.moved_in + self.moved_out)
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            before: self.before + other.before,
            after: self.after + other.after,
            new: self.new + other.new,
            returning: self.returning + other.returning,
            changed: self.changed + other.changed,
            moved_in: self.moved_in + other.moved_in,
            moved_out: self.moved_out + other.moved_out,
            removed: self.removed + other.removed,
            kept: self.kept + other.kept,
        }
    }

    fn signs(&self) -> String {
        let signs = [
            ("+", self.new),
            ("↩", self.returning),
            ("~", self.changed),
            ("<", self.moved_in),
            (">", self.moved_out),
            ("-", self.removed),
            ("!", self.kept),
        ];
        let signs = signs.iter().filter(|(_, people)| *people != 0).map(|(sign, people)| format!(" {sign}{people}"));
        signs.collect::<Vec<_>>().concat()
    }

    fn line(&self, group: &GroupRef) -> String {
        format!("{}  {} → {} {}", clean(group.as_str()), self.before, self.after, self.signs()).trim_end().to_owned()
    }
}

/// One group with its people, class by class.
fn people(page: &mut Page, tally: &Tally, group: &GroupReport) {
    page.item(2, &tally.line(&group.group));
    list(page, "+", "new", &group.new);
    list(page, "↩", "returning", &group.returning);
    if !group.changed.is_empty() {
        let one = |member: &crate::report::ChangedMember| {
            format!("{} ({})", id(&member.reference_id), fields(&member.fields))
        };
        page.entry(4, "~", None, &format!("changed: {}", some(&group.changed, one)));
    }
    parts(page, "<", "comes from ", &by(group.moved_in.iter().map(|moved| (moved.from.as_str(), &moved.reference_id))));
    parts(page, ">", "moves to ", &by(group.moved_out.iter().map(|moved| (moved.to.as_str(), &moved.reference_id))));
    stated(page, group);
    list(page, "-", "missing", &group.missing);
    parts(page, "!", "", &kept(group));
}

fn list(page: &mut Page, sign: &str, class: &str, ids: &[ReferenceId]) {
    if !ids.is_empty() {
        page.entry(4, sign, None, &format!("{class}: {}", some(ids, id)));
    }
}

/// Who is terminated, with the lines that say so.
fn stated(page: &mut Page, group: &GroupReport) {
    if group.terminated.is_empty() {
        return;
    }
    let line_of = |one: &ReferenceId| {
        let reason = group.reasons.iter().find(|reason| reason.reference_id == *one);
        reason.and_then(|reason| reason.line)
    };
    let one = |who: &ReferenceId| match line_of(who) {
        Some(line) => format!("{} (line {line})", id(who)),
        None => id(who),
    };
    page.entry(4, "-", None, &format!("terminated: {}", some(&group.terminated, one)));
}

fn parts(page: &mut Page, sign: &str, class: &str, parts: &BTreeMap<&str, Vec<&ReferenceId>>) {
    for (part, ids) in parts.iter().take(PARTS) {
        page.entry(4, sign, None, &format!("{class}{}: {}", clean(part), some(ids, |one| id(one))));
    }
    if PARTS < parts.len() {
        let people: usize = parts.values().skip(PARTS).map(Vec::len).sum();
        page.entry(4, sign, None, &format!("and {people} more (--json has all)"));
    }
}

/// Who is kept, reason by reason. People on their way between two groups are told as that.
fn kept(group: &GroupReport) -> BTreeMap<&str, Vec<&ReferenceId>> {
    let moved_in = group.moved_in.iter().map(|moved| &moved.reference_id);
    let moved: BTreeSet<_> = moved_in.chain(group.moved_out.iter().map(|moved| &moved.reference_id)).collect();
    let kept = group.kept.iter().filter(|kept| !moved.contains(&kept.reference_id));
    by(kept.map(|kept| (kept.reason.as_str(), &kept.reference_id)))
}

fn by<'a>(pairs: impl Iterator<Item = (&'a str, &'a ReferenceId)>) -> BTreeMap<&'a str, Vec<&'a ReferenceId>> {
    let mut lists: BTreeMap<&str, Vec<&ReferenceId>> = BTreeMap::new();
    pairs.for_each(|(key, id)| lists.entry(key).or_default().push(id));
    lists
}

fn id(id: &ReferenceId) -> String {
    clean(id.as_str()).into_owned()
}

/// Names of fields in a row.
pub(super) fn fields(fields: &[String]) -> String {
    fields.iter().map(|field| clean(field)).collect::<Vec<_>>().join(", ")
}

/// The classes in words, those with anybody in them.
pub(super) fn sums(counts: &Counts) -> String {
    let classes = [
        (counts.new, "new"),
        (counts.returning, "returning"),
        (counts.changed, "changed"),
        (counts.moved, "moved"),
        (counts.terminated, "terminated"),
        (counts.missing, "missing"),
        (counts.kept, "kept"),
        (counts.unchanged, "unchanged"),
    ];
    let classes = classes.iter().filter(|(people, _)| *people != 0).map(|(people, class)| format!("{people} {class}"));
    let classes = classes.collect::<Vec<_>>().join(", ");
    let people = if classes.is_empty() { "nobody" } else { &classes };
    if counts.problems == 0 {
        people.to_owned()
    } else {
        format!("{people}; {} cannot be used", many(counts.problems, "row", "rows"))
    }
}

/// The exact next command.
fn next(page: &mut Page, plan: &PlanReport) {
    let file = plan.file.as_ref().map_or_else(|| "FILE".to_owned(), |file| shell_path(&file.name));
    let sync = format!("rosterd sync {file} --source {}", shell_word(plan.source.as_str()));
    match plan.verdict {
        PlanVerdict::Unchanged => page.say("There is nothing to apply."),
        PlanVerdict::Reject => page.say("Nothing is sent by `plan`. Mend the file and drop it again."),
        PlanVerdict::Apply => {
            page.say("Nothing is sent by `plan`. To apply:");
            page.command(2, &sync);
        }
        PlanVerdict::Hold => {
            page.say("Nothing is sent by `plan`. If the export is wrong, mend it and drop it again.");
            if is_mistrusted(&plan.guards) {
                page.say(NEWER_STATE);
                page.say(COMPARE);
            }
            page.say(if is_held_whole(&plan.guards) {
                "If it is right, this records it as a held run and sends nothing:"
            } else {
                "If it is right, this delivers the rest and records what is held:"
            });
            page.command(2, &sync);
            if is_approvable(&plan.guards) {
                page.say("Then this releases what is held (`rosterd status` names the run):");
                page.command(2, "rosterd approve RUN --reason TEXT");
            } else {
                page.say("No approval can release what is held: mend what the guards name.");
            }
        }
    }
}
