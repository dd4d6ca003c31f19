//! Findings that say the same, taken together: nobody reads one sentence twenty times.

use std::borrow::Cow;

use super::{Code, Problem, SUMMED_UP};

/// Lines that are named; the rest is counted. Enough to see the pattern in an editor.
const LINES_NAMED: usize = 5;

/// Findings of one kind in one column that say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likes<'a> {
    /// The first of them.
    pub first: &'a Problem,
    /// What all of them say.
    pub message: Cow<'a, str>,
    /// Lines of those that are listed, in order.
    pub lines: Vec<u64>,
    /// How many there are, listed or not.
    pub count: u64,
}

impl Likes<'_> {
    /// `Line 4`, or `Lines 4, 17, 23 and 12 more`; nothing of a finding about the whole file.
    pub fn place(&self) -> Option<String> {
        let named: Vec<String> =
            self.lines.iter().filter(|line| **line != 0).take(LINES_NAMED).map(u64::to_string).collect();
        let more = self.count.saturating_sub(named.len() as u64);
        match named.split_last() {
            None => None,
            Some((only, [])) if more == 0 => Some(format!("Line {only}")),
            Some((last, rest)) if more == 0 => Some(format!("Lines {} and {last}", rest.join(", "))),
            Some(_) => Some(format!("Lines {} and {more} more", named.join(", "))),
        }
    }
}

/// Takes findings together that say the same of one column, in the order of the first of each.
pub fn likes<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Vec<Likes<'a>> {
    let mut found: Vec<Likes<'a>> = Vec::new();
    let mut sums: Vec<(&'a Problem, u64)> = Vec::new();
    for problem in problems {
        if let Some(total) = summed_up(problem) {
            sums.push((problem, total));
            continue;
        }
        let message = message(problem);
        let is_like = |likes: &&mut Likes<'_>| is_of(likes.first, problem) && likes.message == message;
        if let Some(likes) = found.iter_mut().find(is_like) {
            likes.lines.push(problem.line);
            likes.count += 1;
        } else {
            found.push(Likes { first: problem, message, lines: vec![problem.line], count: 1 });
        }
    }
    for (sum, total) in sums {
        let mut of_kind = found.iter_mut().filter(|likes| is_of(likes.first, sum));
        match (of_kind.next(), of_kind.next()) {
            // All of a kind say the same: so do those that are not listed.
            (Some(likes), None) => likes.count = likes.count.max(total),
            _ => found.push(Likes { first: sum, message: Cow::Borrowed(&sum.message), lines: vec![0], count: 1 }),
        }
    }
    found
}

fn is_of(one: &Problem, other: &Problem) -> bool {
    one.code == other.code && one.column == other.column
}

/// How many findings a sum stands for.
fn summed_up(problem: &Problem) -> Option<u64> {
    let (total, _) = problem.message.split_once(SUMMED_UP)?;
    if problem.line == 0 { total.parse().ok() } else { None }
}

/// What a finding says, without what differs from row to row.
fn message(problem: &Problem) -> Cow<'_, str> {
    if problem.code == Code::RowsJoined {
        Cow::Borrowed("Other rows are about the same person; they were read as one.")
    } else {
        Cow::Borrowed(&problem.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: u64, code: Code, message: &str) -> Problem {
        Problem { line, column: Some("Phone".into()), reference_id: None, code, message: message.into() }
    }

    fn said(problems: &[Problem]) -> Vec<String> {
        let one = |likes: Likes<'_>| format!("{}: {}", likes.place().unwrap_or_default(), likes.message);
        likes(problems).into_iter().map(one).collect()
    }

    #[test]
    fn what_says_the_same_is_said_once_with_its_lines() {
        let dropped = |line| problem(line, Code::PhoneDropped, "It was left out.");
        let mut problems: Vec<Problem> = [4, 17].map(dropped).to_vec();
        assert_eq!(said(&problems), ["Lines 4 and 17: It was left out."]);
        problems.push(problem(20, Code::PhoneDropped, "It is too short."));
        problems.extend([23, 31, 40, 41, 42].map(dropped));
        assert_eq!(
            said(&problems),
            ["Lines 4, 17, 23, 31, 40 and 2 more: It was left out.", "Line 20: It is too short."]
        );
    }

    #[test]
    fn what_is_only_counted_is_counted_with_its_like() {
        let sum =
            problem(0, Code::ZipRepaired, &format!("30{SUMMED_UP}; the first 2 are listed, the other 28 are alike."));
        let alike =
            [sum.clone(), problem(2, Code::ZipRepaired, "Put right."), problem(3, Code::ZipRepaired, "Put right.")];
        assert_eq!(said(&alike), ["Lines 2, 3 and 28 more: Put right."]);
        // Of two kinds of sentence nobody knows how the rest is shared out.
        let mixed = [sum, problem(2, Code::ZipRepaired, "Put right."), problem(3, Code::ZipRepaired, "Padded.")];
        assert_eq!(said(&mixed).len(), 3);
    }

    #[test]
    fn another_column_is_another_finding() {
        let mut other = problem(4, Code::Cleaned, "Dropped.");
        other.column = None;
        assert_eq!(said(&[problem(3, Code::Cleaned, "Dropped."), other]).len(), 2);
    }
}
