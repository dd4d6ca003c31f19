//! Hints that an inbox is worth a look. A hint carries no data: the folder is the truth, an event only says "now".
//!
//! Events get lost (full queues, network shares, folders that are deleted and made again), so whoever waits for hints
//! looks at the folder from time to time without one too.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// How an inbox is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watching {
    /// The system tells of changes; the inbox is looked through from time to time all the same.
    Events,
    /// The inbox is only looked through from time to time, for this reason.
    Polling(String),
}

/// File systems whose changes by other machines the kernel does not tell, by the magic number of `statfs`.
const NETWORK_FILESYSTEMS: [(u64, &str); 10] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x786f_4256, "a shared folder of a virtual machine"),
];

/// The watch on one inbox, and the receiving end of its hints.
#[derive(Debug)]
pub struct Watch {
    bell: Bell,
    hints: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
}

/// What the watcher's thread holds: it rings and does nothing else, since a slow callback makes the kernel drop events.
#[derive(Clone, Debug)]
struct Bell {
    // One place: a hint that waits is as good as ten.
    hints: mpsc::Sender<()>,
    has_failed: Arc<AtomicBool>,
}

impl Bell {
    fn ring(&self) {
        match self.hints.try_send(()) {
            // Full: one is waiting. Closed: the task has ended, and the watch with it.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Closed(())) => {}
        }
    }

    fn on(&self, event: &notify::Result<notify::Event>) {
        match event {
            Ok(event) if event.need_rescan() || is_hint(event.kind) => self.ring(),
            Ok(_) => {}
            Err(_) => {
                self.has_failed.store(true, Ordering::Release);
                self.ring();
            }
        }
    }
}

/// Whether an event is worth a look. Opening and reading are what a look itself does: taking them as hints would never
/// end. Data that is being written says nothing until the file is closed; timers find files that stay open.
fn is_hint(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Data(_)) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Self {
        let (sender, hints) = mpsc::channel(1);
        let bell = Bell { hints: sender, has_failed: Arc::new(AtomicBool::new(false)) };
        Self { bell, hints, watcher: None }
    }

    /// Watches this folder, and no other any more. Blocks for a moment. Failing is no error: polling is always there.
    pub fn aim(&mut self, inbox: &Path) -> Watching {
        self.rest();
        if let Some(name) = network_filesystem(inbox) {
            return Watching::Polling(format!("{name} does not report the changes of other machines"));
        }
        let bell = self.bell.clone();
        let watcher = notify::recommended_watcher(move |event| bell.on(&event)).and_then(|mut watcher| {
            watcher.watch(inbox, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watcher {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                Watching::Events
            }
            Err(error) => Watching::Polling(reason(&error)),
        }
    }

    /// Watches nothing.
    pub fn rest(&mut self) {
        self.watcher = None;
        self.bell.has_failed.store(false, Ordering::Release);
    }

    /// Whether the watcher reported an error: events may be missing from now on.
    pub fn has_failed(&self) -> bool {
        self.bell.has_failed.load(Ordering::Acquire)
    }

    /// Waits for a hint. May be dropped at any time without losing one.
    pub async fn hint(&mut self) {
        // The bell holds a sender for as long as `self` lives, so the channel never ends.
        if self.hints.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Why there are no events, without the path: the log line has it.
fn reason(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => "the system's limit of watches is reached (fs.inotify.max_user_watches)".to_owned(),
        ErrorKind::Io(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "the system's limit of watchers is reached (fs.inotify.max_user_instances)".to_owned()
        }
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::Generic(text) => text.clone(),
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => "the folder vanished".to_owned(),
        ErrorKind::InvalidConfig(_) => "the watcher refused its settings".to_owned(),
    }
}

fn network_filesystem(path: &Path) -> Option<&'static str> {
    let stat = rustix::fs::statfs(path).ok()?;
    // The type is signed on some machines: only the low 32 bits are the number.
    let magic = u64::try_from(i128::from(stat.f_type) & 0xffff_ffff).ok()?;
    NETWORK_FILESYSTEMS.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, DataChange, Flag, RenameMode};

    #[test]
    fn looking_at_a_folder_does_not_ask_for_another_look() {
        assert!(!is_hint(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_hint(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(!is_hint(EventKind::Modify(ModifyKind::Data(DataChange::Any))));
    }

    #[test]
    fn closing_renaming_and_linking_a_file_ask_for_a_look() {
        assert!(is_hint(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_hint(EventKind::Modify(ModifyKind::Name(RenameMode::To))));
        assert!(is_hint(EventKind::Create(CreateKind::File)));
    }

    #[test]
    fn an_overflowing_queue_asks_for_a_look_whatever_its_kind() {
        let mut watch = Watch::new();
        watch.bell.on(&Ok(notify::Event::new(EventKind::Access(AccessKind::Any)).set_flag(Flag::Rescan)));
        assert_eq!(watch.hints.try_recv(), Ok(()));
    }

    #[test]
    fn many_events_are_one_hint() {
        let mut watch = Watch::new();
        for _ in 0..100 {
            watch.bell.on(&Ok(notify::Event::new(EventKind::Create(CreateKind::File))));
        }
        assert_eq!(watch.hints.try_recv(), Ok(()));
        assert!(watch.hints.try_recv().is_err());
    }

    #[test]
    fn an_error_of_the_watcher_is_remembered_and_asks_for_a_look() {
        let mut watch = Watch::new();
        watch.bell.on(&Err(notify::Error::generic("lost")));
        assert!(watch.has_failed());
        assert_eq!(watch.hints.try_recv(), Ok(()));
    }

    #[test]
    fn a_folder_that_is_not_there_is_polled() {
        let folder = tempfile::tempdir().unwrap();
        let watching = Watch::new().aim(&folder.path().join("absent"));
        assert!(matches!(watching, Watching::Polling(_)), "{watching:?}");
    }

    #[test]
    fn limits_of_the_system_are_named() {
        let error = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert!(reason(&error).contains("max_user_watches"));
        let error = notify::Error::io(std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        assert!(reason(&error).contains("max_user_instances"));
    }
}
