//! One file's rows and problems, each with its line. Pure over `io::Read`: no file names, no clock.

pub mod dialect;
pub mod problem;
pub mod reader;

/// The headers that a reading of the file depends on.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of each inner list at least one header must be there.
    pub required: Vec<Vec<String>>,
    /// Headers that are used where they are there.
    pub optional: Vec<String>,
    /// The headers of the reference id.
    pub id_headers: Vec<String>,
}
