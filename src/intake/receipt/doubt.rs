//! Why somebody is in doubt, and what to do about it, for a reader who knows the file and the people in it. Pure.

use crate::report::doubts;

/// One doubt as HR is told it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Why, in one sentence.
    pub(super) why: String,
    /// What the reader should do; empty where nobody knows.
    pub(super) what_to_do: &'static str,
}

/// Tells the reason of a plan. What it does not know it repeats.
pub(super) fn tell(reason: &str) -> Told {
    let told = |why: &str, what_to_do| Told { why: why.to_owned(), what_to_do };
    if let Some((_, moving)) = reason.split_once(doubts::MOVE) {
        let told = format!("The move{moving}");
        let groups = told.split(" is ").next().unwrap_or(&told);
        return Told {
            why: format!("{groups} is held; until it is released nothing changes for this person"),
            what_to_do: "If the move is right, have this file released. If not, correct the group in the row.",
        };
    }
    if let Some((_, guard)) = reason.split_once(doubts::GUARD) {
        return held(guard.trim()).unwrap_or_else(|| told(reason, ASK));
    }
    if reason.contains(doubts::ABSENT) {
        return absent(reason);
    }
    if reason.contains(doubts::UNIDENTIFIED) {
        return told(
            "Not in this file, but it has a row whose id cannot be read, and that row could be theirs",
            "Mend the id of that row, and drop the complete export again.",
        );
    }
    if reason.contains(doubts::OTHER_SOURCE) {
        let other = reason.rsplit_once(doubts::OTHER_SOURCE).and_then(|(_, rest)| rest.split_whitespace().next());
        return Told {
            why: format!(
                "This person comes from another feed ({}), and what that one says counts",
                other.unwrap_or("its name is not known")
            ),
            what_to_do: "Nothing, if that is right. Otherwise name the person in one of the two files only.",
        };
    }
    if reason.contains(doubts::ANOTHER_PERSON) {
        return told(
            "Last name and birth date are both new under this id, so it may belong to somebody else now; the data from before \
             stays in force",
            "If it is the same person, have this file released. If the id was given to somebody else, give that person an id \
             of their own.",
        );
    }
    if reason.contains(doubts::RENUMBERED) {
        return told(
            "Not added: somebody with this name and birth date is covered under another id, which this file lacks",
            "If it is one person, put the old id back (did it lose zeros in front?). If it really changed, have this file \
             released.",
        );
    }
    if reason.contains(doubts::RENUMBERED_AWAY) {
        return told(
            "Not in this file, which has the same name and birth date under another id",
            "If it is one person, put the old id back (did it lose zeros in front?). If it really changed, have this file \
             released.",
        );
    }
    if reason.contains(doubts::INVALID) {
        return told("The row cannot be used as it is", "Mend the row, and drop the complete export again.");
    }
    if reason.contains(doubts::CONFLICT) {
        return told(
            "Rows of this person contradict each other",
            "Make them agree or keep one, and drop the complete export again.",
        );
    }
    told(reason, "")
}

const ASK: &str = "Ask whoever runs rosterd.";

const RELEASE_OR_PUT_BACK: &str =
    "If they have left, have this file released. If not, put their rows back and drop the complete export again.";

/// Somebody who is absent, but not for long enough.
fn absent(reason: &str) -> Told {
    let mut numbers = reason.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok());
    let (seen, needed) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(2));
    let what_to_do = if needed <= seen + 1 {
        "If they have left, nothing: the next export without them ends their coverage. If not, put the row back. To end it at \
         once, keep the row and let it say that they have left."
    } else {
        "If they have left, nothing: further exports without them end their coverage. If not, put the row back. To end it at \
         once, keep the row and let it say that they have left."
    };
    let why = if seen == 1 {
        "Not in this file; one file without somebody is not enough to end their coverage".to_owned()
    } else {
        format!("Not in the last {seen} files; it takes {needed} in a row to end somebody's coverage")
    };
    Told { why, what_to_do }
}

/// Somebody whom a guard holds.
fn held(guard: &str) -> Option<Told> {
    let (why, what_to_do) = match guard {
        "removals" | "removals_max" => {
            ("Not in the file, like more people of the group than may go unasked", RELEASE_OR_PUT_BACK)
        }
        "terminations" => (
            "The file ends their coverage, and that of more people of the group than it may end unasked",
            "If that is right, have this file released. If not, correct their rows and drop the complete export again.",
        ),
        "rolling_removals" => (
            "With them, more people of the group would have lost coverage within a few days than may go unasked",
            RELEASE_OR_PUT_BACK,
        ),
        "plan_changes" => (
            "More people of the group would leave and join again for another plan than may do so unasked",
            "If the new plans are right, have this file released. If not, correct the column that names the plan.",
        ),
        "empty" => ("Without them nobody would be left in the group", RELEASE_OR_PUT_BACK),
        "additions" => (
            "More people would join the group at once than may join unasked",
            "If they all belong to it, have this file released. If not, correct the column that names the group.",
        ),
        "baseline" => (
            "Nobody knows yet who else is in the group, so nothing is changed in it",
            "Nothing in the file. Whoever runs rosterd has to decide once.",
        ),
        "no_group" => (
            "The group does not exist yet",
            "If its name in the file is right, ask whoever runs rosterd to make it. If not, correct the rows.",
        ),
        "members_per_request" => ("The group would be too large to be sent", ASK),
        _ => return None,
    };
    Some(Told { why: why.to_owned(), what_to_do })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_absent_is_told_how_long_and_how_to_end_it() {
        let told = tell("still covered: missing from 1 of the 2 exports in a row that confirm an absence");
        assert!(told.why.starts_with("Not in this file") && told.what_to_do.contains("the next export without them"));
        let told = tell("still covered: missing from 2 of the 4 exports in a row that confirm an absence");
        assert!(told.why.contains("last 2 files; it takes 4") && told.what_to_do.contains("further exports"));
    }

    #[test]
    fn every_guard_that_holds_people_has_its_words() {
        for guard in [
            "removals",
            "removals_max",
            "terminations",
            "rolling_removals",
            "empty",
            "additions",
            "baseline",
            "no_group",
        ] {
            let told = tell(&format!("still covered: {} {guard}", doubts::GUARD));
            assert!(!told.why.contains("guard") && !told.what_to_do.is_empty(), "{guard}: {told:?}");
        }
    }

    #[test]
    fn an_unknown_word_is_repeated() {
        assert_eq!(tell("held"), Told { why: "held".into(), what_to_do: "" });
    }
}
