//! Where exports come in: folders are looked through on every hint, on a timer and on [`schedule`]s; files that have
//! settled are claimed and handed on. What comes out is a claimed file; its content is never read here.

pub mod schedule;
