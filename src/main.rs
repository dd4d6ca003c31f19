//! The `rosterd` binary: the system-call filter that keeps the state through power cuts, then the command.

use std::process::ExitCode;

/// Gives memory back when the daemon is idle, and is quicker where a plan makes millions of small values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before any other thread exists, so that every thread has it. Without it rosterd works, and `status` says that a power
    // cut can cost the state.
    let filter = rosterd::store::filter::install();
    rosterd::private_by_default();
    let code = rosterd::cli::main();
    drop(filter);
    code
}
