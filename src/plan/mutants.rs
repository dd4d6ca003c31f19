//! Rules switched off, to learn whether the tests notice: `tests/mutants.sh` builds with the feature `mutants` and names one rule at a
//! time. In every other build nothing can be switched off, and this is nothing.

/// What can be switched off beside the guards of [`super::guards::NAMES`].
#[cfg(feature = "mutants")]
pub const RULES: [&str; 9] = [
    "invalid",
    "conflict",
    "unidentified",
    "other_source",
    "absence",
    "approved_people",
    "in_flight",
    "both_sides",
    "joined_since",
];

/// Whether a rule is switched off.
#[cfg(not(feature = "mutants"))]
pub(super) const fn is_off(_rule: &str) -> bool {
    false
}

/// Whether a rule is switched off: the one that the environment variable `WITHOUT_RULE` names. Not one of the `ROSTERD_` variables:
/// those are the config's, and the tests that run the binary keep them from it.
///
/// # Panics
/// When the variable names no rule: such a run would prove nothing.
#[cfg(feature = "mutants")]
#[expect(
    clippy::disallowed_methods,
    reason = "a build for tests alone, and the rooms between have no business with it"
)]
pub(super) fn is_off(rule: &str) -> bool {
    static OFF: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let off = OFF.get_or_init(|| std::env::var("WITHOUT_RULE").ok().filter(|off| !off.is_empty()));
    if let Some(off) = off {
        let is_known = RULES.iter().chain(&super::guards::NAMES).any(|known| known == off);
        assert!(is_known, "WITHOUT_RULE={off} is no rule");
    }
    off.as_deref() == Some(rule)
}
