//! The incidents that people had with other tools of this kind, and the traps of the API: one test for each class, named after
//! it. Every pass is planned first, and the plan must say what the pass then does.
//!
//! The incidents are those that `design.md` 2 and 10 answer: an empty, short or misread source that removed everybody; limits
//! that were blind to small groups; holds that stopped the rest or that nobody saw; dry runs that did not predict; sources that
//! undid each other; files that came damaged, early, late or twice; people who were taken for somebody else.

#[cfg(test)]
#[path = "support_faults/bench.rs"]
mod bench;

#[cfg(test)]
#[path = "incidents/lab.rs"]
mod lab;

#[cfg(test)]
#[path = "incidents/sources.rs"]
mod sources;

#[cfg(test)]
#[path = "incidents/limits.rs"]
mod limits;

#[cfg(test)]
#[path = "incidents/files.rs"]
mod files;

#[cfg(test)]
#[path = "incidents/people.rs"]
mod people;

#[cfg(test)]
#[path = "incidents/traps.rs"]
mod traps;
