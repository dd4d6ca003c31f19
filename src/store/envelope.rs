//! The envelope around every value on disk: version, kind, checksum, body. Whatever does not match is refused, so that
//! damaged bytes are never read as somebody's record.

use super::StoreError;

/// What a value is. The number is on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Meta = 1,
    Group = 2,
    Source = 3,
    Text = 4,
    Roster = 5,
    Run = 6,
    Plan = 7,
    Batch = 8,
    Payload = 9,
    Changes = 10,
    Count = 11,
    Trace = 12,
    Renames = 13,
    Familiar = 14,
    Digest = 15,
    Block = 16,
}

impl Kind {
    /// The version that this program writes, and the newest that it reads.
    pub(super) fn version(self) -> u8 {
        match self {
            Self::Meta
            | Self::Group
            | Self::Source
            | Self::Text
            | Self::Run
            | Self::Plan
            | Self::Count
            | Self::Trace
            | Self::Renames
            | Self::Digest
            | Self::Block => 1,
            Self::Roster | Self::Batch | Self::Payload | Self::Changes | Self::Familiar => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Group => "group",
            Self::Source => "source",
            Self::Text => "index",
            Self::Roster => "roster",
            Self::Run => "run",
            Self::Plan => "plan",
            Self::Batch => "batch",
            Self::Payload => "payload",
            Self::Changes => "changes",
            Self::Count => "count",
            Self::Trace => "trace",
            Self::Renames => "renames",
            Self::Familiar => "familiar rows",
            Self::Digest => "digest",
            Self::Block => "history block",
        }
    }

    pub(super) fn corrupt(self, detail: &str) -> StoreError {
        StoreError::corrupt(format!("a {} record {detail}", self.name()))
    }
}

/// 16 bytes: damage goes unseen once in 2^128, and a group's record grows by less than a member's.
const CHECKSUM: usize = 16;

/// Wraps a body. The key is part of the checksum, so that a value under a wrong key is refused too.
pub(super) fn seal(kind: Kind, key: &[u8], body: &[u8]) -> Vec<u8> {
    seal_as((kind.version(), kind), key, body)
}

/// Wraps a body that is in another version than this program writes.
pub(super) fn seal_as((version, kind): (u8, Kind), key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(2 + CHECKSUM + body.len());
    sealed.extend_from_slice(&[version, kind as u8]);
    sealed.extend_from_slice(&checksum(version, kind as u8, key, body));
    sealed.extend_from_slice(body);
    sealed
}

/// The version and the number of the kind that an envelope says; nothing is checked.
pub(super) fn label(sealed: &[u8]) -> Option<(u8, u8)> {
    let (version, rest) = sealed.split_first()?;
    Some((*version, *rest.first()?))
}

/// Unwraps a body, with the version that it was written in.
pub(super) fn unseal<'a>(kind: Kind, key: &[u8], sealed: &'a [u8]) -> Result<(u8, &'a [u8]), StoreError> {
    let short = || kind.corrupt("is cut short");
    let (&version, rest) = sealed.split_first().ok_or_else(short)?;
    // First of all: a newer version may lay out everything behind this byte in another way.
    if kind.version() < version {
        return Err(StoreError::Newer { found: version.into(), known: kind.version().into() });
    }
    let (&found_kind, rest) = rest.split_first().ok_or_else(short)?;
    let (found, body) = rest.split_at_checked(CHECKSUM).ok_or_else(short)?;
    if found != checksum(version, found_kind, key, body) {
        return Err(kind.corrupt("does not match its checksum"));
    }
    if found_kind != kind as u8 {
        return Err(kind.corrupt("is of another kind"));
    }
    Ok((version, body))
}

fn checksum(version: u8, kind: u8, key: &[u8], body: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    // The key's length keeps a key's end and a body's beginning apart.
    hasher.update(&[version, kind]).update(&(key.len() as u64).to_be_bytes()).update(key).update(body);
    let mut short = [0; CHECKSUM];
    hasher.finalize_xof().fill(&mut short);
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_under_another_key_or_of_another_kind_is_refused() {
        let sealed = seal(Kind::Text, b"key", b"body");
        assert_eq!(unseal(Kind::Text, b"key", &sealed).unwrap(), (1, &b"body"[..]));
        assert!(matches!(unseal(Kind::Text, b"other", &sealed), Err(StoreError::Corrupt { .. })));
        assert!(matches!(unseal(Kind::Count, b"key", &sealed), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn a_newer_version_is_refused_by_name_before_anything_else_is_read() {
        for bytes in [&[2_u8][..], &[255, 1, 2, 3]] {
            let refused = unseal(Kind::Plan, b"key", bytes).unwrap_err();
            assert!(matches!(refused, StoreError::Newer { known: 1, .. }), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_or_a_cut_is_refused(body in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let sealed = seal(Kind::Plan, b"key", &body);
            let at = at.index(sealed.len());
            prop_assert!(unseal(Kind::Plan, b"key", &sealed[..at]).is_err());
            let mut flipped = sealed;
            flipped[at] ^= 1_u8 << bit;
            prop_assert!(unseal(Kind::Plan, b"key", &flipped).is_err());
        }
    }
}
