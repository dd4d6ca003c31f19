//! `history`: one line a run.

use crate::report::Run;

use super::Screen;
use super::json::json_runs;
use super::table::{Column, Concession, fit};
use super::words::{clean, state, time};

/// What `history` says without runs.
const NONE: &str = "\
No runs match. Without filters this means that no export was seen yet: drop one into an inbox, or try
  rosterd sync FILE
";

/// The runs as a table, in the order in which they come (newest first). *new* counts those who return, *removed* the
/// terminated and the missing.
pub fn runs(screen: &Screen, runs: &[Run]) -> String {
    if screen.is_json() {
        return json_runs(runs);
    }
    if runs.is_empty() {
        return NONE.to_owned();
    }
    let count = |of: fn(&Run) -> u64| runs.iter().map(of);
    let file = |run: &Run| run.file.as_ref().map_or_else(|| "-".to_owned(), |file| clean(&file.name).into_owned());
    let columns = vec![
        Column::text("run", runs.iter().map(|run| clean(run.run.as_str()).into_owned())),
        Column::text("received", runs.iter().map(|run| time(run.received_at))),
        Column::text("source", runs.iter().map(|run| clean(run.source.as_str()).into_owned())),
        Column::flexible("file", runs.iter().map(file)),
        Column::numbers("rows", runs.iter().map(rows)),
        Column::counts("new", "new", count(|run| run.counts.new + run.counts.returning)),
        Column::counts("changed", "chg", count(|run| run.counts.changed)),
        Column::counts("removed", "rem", count(|run| run.counts.terminated + run.counts.missing)),
        Column::counts("kept", "kept", count(|run| run.counts.kept)),
        Column::counts("confirmed", "conf", count(|run| run.counts.confirmed)),
        Column::counts("failed", "fail", count(|run| run.counts.failed)),
        Column::states("state", runs.iter().map(|run| state(run.state))),
    ];
    fit(*screen, columns, &concessions(runs))
}

fn rows(run: &Run) -> String {
    let rows = run.file.as_ref().map_or(run.counts.rows, |file| file.rows);
    if rows == 0 { "·".to_owned() } else { rows.to_string() }
}

/// What a narrow screen does without, the least missed first.
fn concessions(runs: &[Run]) -> Vec<Concession> {
    let is_one_source = runs.windows(2).all(|pair| matches!(pair, [a, b] if a.source == b.source));
    // Our ids are times, and then the time of receipt says the same again.
    let tells_time = |run: &Run| run.run.as_str().contains(&run.received_at.format("%Y%m%d_%H").to_string());
    let mut order = vec![Concession::LongHeads];
    order.extend(is_one_source.then_some(Concession::Column("source")));
    order.push(Concession::Prefix("run", "run_"));
    order.extend(runs.iter().all(tells_time).then_some(Concession::Column("received")));
    order.extend(["rows", "conf", "source", "kept", "file", "received"].map(Concession::Column));
    order
}
