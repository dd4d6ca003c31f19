//! The names of things: each kind of id is a type of its own, so that two of them cannot be swapped.
//!
//! Every person has an id of their own, most of them short. Groups, plans, sources and runs are few, and repeat with every member: their
//! names lie in memory once, and are shared by all who are read at one time.

use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest reference id, group reference and group name that the API takes, in characters.
pub const MAX_ID_CHARS: usize = 255;

/// Why a text is not an id.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum BadId {
    /// Nothing but white space.
    #[error("is blank")]
    Blank,
    /// Longer than [`MAX_ID_CHARS`].
    #[error("is longer than {MAX_ID_CHARS} characters")]
    TooLong,
    /// Holds a control character.
    #[error("holds a control character")]
    Control,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($text:ty)) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "CompactString", into = "CompactString")]
        pub struct $name($text);

        impl $name {
            /// Takes a text as an id, blanks at both ends dropped.
            ///
            /// # Errors
            /// [`BadId`] when the text is blank, too long or holds control characters.
            pub fn parse(text: &str) -> Result<Self, BadId> {
                check_id(text).map(|text| Self(CompactString::from(text).into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl TryFrom<CompactString> for $name {
            type Error = BadId;
            fn try_from(text: CompactString) -> Result<Self, BadId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for CompactString {
            fn from(id: $name) -> Self {
                Self::from(id.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::parse(text)
            }
        }
    };
}

id! {
    /// A person's key in the HR system and in the API: byte-exact, unique in the organization, never an e-mail or SSN.
    ReferenceId(CompactString)
}
id! {
    /// A group's `external_reference_id`: our name for it, unique in the organization.
    GroupRef(Arc<CompactString>)
}
id! {
    /// A group's id in the API (`grp_…`).
    GroupId(CompactString)
}
id! {
    /// A plan's id in the API (`pln_…`).
    PlanId(Arc<CompactString>)
}
id! {
    /// The API's id of one member sync request (`grpmsr_…`).
    RequestId(CompactString)
}
id! {
    /// The name of a configured source.
    SourceName(Arc<CompactString>)
}
id! {
    /// One pass over one export, or a scheduled re-check; sorts by time.
    RunId(Arc<CompactString>)
}
id! {
    /// One member sync request of one group, as we know it before the API does; sorts by time.
    BatchId(CompactString)
}

macro_rules! unshared {
    ($name:ident) => {
        impl $name {
            /// The same name in memory of its own. Two threads that keep cloning one name wait for each other every time.
            #[must_use]
            pub fn unshared(&self) -> Self {
                Self(Arc::new(CompactString::clone(&self.0)))
            }
        }
    };
}

unshared!(GroupRef);
unshared!(PlanId);

fn check_id(text: &str) -> Result<&str, BadId> {
    let text = text.trim();
    if text.is_empty() {
        Err(BadId::Blank)
    } else if text.chars().any(char::is_control) {
        Err(BadId::Control)
    } else if MAX_ID_CHARS < text.len() && MAX_ID_CHARS < text.chars().count() {
        Err(BadId::TooLong)
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_trimmed_and_otherwise_byte_exact() {
        assert_eq!(ReferenceId::parse("  00A7b ").unwrap().as_str(), "00A7b");
    }

    #[test]
    fn blank_long_and_control_ids_are_refused() {
        assert_eq!(ReferenceId::parse(" \t"), Err(BadId::Blank));
        assert_eq!(ReferenceId::parse("a\u{0}b"), Err(BadId::Control));
        assert_eq!(ReferenceId::parse(&"é".repeat(256)), Err(BadId::TooLong));
        assert!(ReferenceId::parse(&"é".repeat(255)).is_ok());
    }
}
