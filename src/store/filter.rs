//! Makes sled's `flush` durable on Linux.
//!
//! sled 0.34 flushes with `sync_file_range`, which does not reach the disk: simulated power cuts left most databases
//! unopenable. Answered ENOSYS, sled falls back to a true fsync. So the kernel is asked, by a seccomp filter, to answer
//! just that call of this process that way.

use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Why the filter could not be installed. The store works without it, but a power cut can destroy it.
#[derive(Debug, Error)]
#[error("the filter that makes writes durable cannot be installed: {detail}")]
pub struct FilterError {
    detail: String,
}

/// Installs the filter for all threads of this process; call it first thing in `main`. The kernel never takes a filter
/// back, so doing it twice is harmless. Nothing to do where sled calls fsync anyway.
///
/// # Errors
/// On a kernel without seccomp, or an architecture whose call number is not known here.
pub fn install() -> Result<(), FilterError> {
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    platform::install().map_err(|detail| FilterError { detail })?;
    INSTALLED.store(true, Ordering::Release);
    Ok(())
}

/// Whether `flush` reaches the disk: the filter was installed in this process, and the kernel says that a filter is
/// in force on this thread. (To try the call itself takes unsafe code, which this crate forbids.)
pub fn active() -> bool {
    INSTALLED.load(Ordering::Acquire) && platform::in_force()
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::BTreeMap;

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

    /// `sync_file_range` in the kernel's table of calls for this architecture.
    #[cfg(target_arch = "x86_64")]
    const SYNC_FILE_RANGE: Option<i64> = Some(277);
    #[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
    const SYNC_FILE_RANGE: Option<i64> = Some(84);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
    const SYNC_FILE_RANGE: Option<i64> = None;

    /// "Function not implemented", the one answer after which sled calls fsync; the same number on these architectures.
    const ENOSYS: u32 = 38;

    pub(super) fn install() -> Result<(), String> {
        let call = SYNC_FILE_RANGE.ok_or("unknown architecture")?;
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
        let filter = SeccompFilter::new(
            BTreeMap::from([(call, Vec::new())]),
            SeccompAction::Allow,
            SeccompAction::Errno(ENOSYS),
            arch,
        )
        .map_err(|error| error.to_string())?;
        let program = BpfProgram::try_from(filter).map_err(|error| error.to_string())?;
        seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
    }

    pub(super) fn in_force() -> bool {
        std::fs::read_to_string("/proc/thread-self/status")
            .is_ok_and(|status| status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])))
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    pub(super) fn install() -> Result<(), String> {
        Ok(())
    }

    pub(super) fn in_force() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_installed_the_filter_is_in_force_on_every_thread_and_new_ones() {
        let (to_old, go) = std::sync::mpsc::channel::<()>();
        let old = std::thread::spawn(move || go.recv().is_ok() && active());
        install().unwrap();
        install().unwrap();
        assert!(active());
        assert!(std::thread::spawn(active).join().unwrap());
        to_old.send(()).unwrap();
        assert!(old.join().unwrap());
    }
}
