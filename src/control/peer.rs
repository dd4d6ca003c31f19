//! Who may ask. The socket's mode says so already; this holds where a mode was widened by hand, or the file lies where modes
//! mean nothing.

use std::ffi::CString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist};

use super::{Refusal, RefusalKind};

/// The service's user and the group of its socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    user: u32,
    group: u32,
}

impl Door {
    pub(super) fn of(socket: &Metadata) -> Self {
        Self { user: geteuid().as_raw(), group: socket.gid() }
    }

    /// Root, the service's own user, and members of the socket's group, by the group that they act under or by the system's list.
    pub(super) fn lets_in(self, uid: u32, gid: u32) -> bool {
        uid == 0 || uid == self.user || gid == self.group || self.has_member(uid)
    }

    fn has_member(self, uid: u32) -> bool {
        let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else { return false };
        let Ok(name) = CString::new(user.name) else { return false };
        getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&Gid::from_raw(self.group)))
    }

    pub(super) fn refusal(actor: &str) -> Refusal {
        Refusal {
            kind: RefusalKind::Unavailable,
            message: format!(
                "{actor} may not ask the daemon: only root, the service's user and members of the socket's group may; add \
                 them to that group"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_service_and_its_group_are_let_in_and_nobody_else() {
        let door = Door { user: 61_001, group: 61_002 };
        assert!(door.lets_in(0, 0));
        assert!(door.lets_in(61_001, 61_009));
        assert!(door.lets_in(61_003, 61_002));
        assert!(!door.lets_in(61_003, 61_009));
        // The numbers of users and of groups are not the same numbers.
        assert!(!door.lets_in(61_002, 61_001));
    }
}
