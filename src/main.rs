//! The `rosterd` binary: the system-call filter that keeps the state through power cuts, then the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any other thread exists, so that every thread has it. Without it rosterd works, and `status` says that a power
    // cut can cost the state.
    let filter = rosterd::store::filter::install();
    rosterd::private_by_default();
    let code = rosterd::cli::main();
    drop(filter);
    code
}
