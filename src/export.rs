//! One file's rows and problems, each with its line. Pure over `io::Read`: no file names, no clock.

pub mod dialect;
pub mod problem;
pub mod reader;
