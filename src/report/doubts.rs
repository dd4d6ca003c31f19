//! The words in which a plan says why somebody is in doubt. Here, since the receipt tells each of them to HR in other words, and adds
//! what to do; a word that it does not know it repeats as it is.

/// The row cannot be used.
pub const INVALID: &str = "the row cannot be used as it is";
/// Rows of the person contradict each other.
pub const CONFLICT: &str = "rows of this person contradict each other";
/// How the sentence ends about somebody who is absent, but not for long enough; two numbers stand in front.
pub const ABSENT: &str = "exports in a row that confirm an absence";
/// Absent, but a row has no readable id.
pub const UNIDENTIFIED: &str = "missing, but a row without a readable id could be theirs";
/// How the sentence begins about somebody of another source; its name follows.
pub const OTHER_SOURCE: &str = "the record of source";
/// Perhaps another person under the same id.
pub const ANOTHER_PERSON: &str = "last name and birth date both changed; perhaps the id was given to somebody else";
/// The same person under another id.
pub const RENUMBERED: &str = "the same person is on a roster under another id";
/// The same, of the id that the file lacks.
pub const RENUMBERED_AWAY: &str = "the file lacks this id and has the same person under another one";
/// How the sentence begins about somebody whose move is held; the two groups follow.
pub const MOVE: &str = "the move";
/// How the sentence begins about somebody whom a guard holds; its name follows.
pub const GUARD: &str = "held by the guard";
