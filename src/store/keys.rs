//! Keys on disk. Ids hold no control characters, so a zero byte between two parts cannot be part of either, and the
//! order of keys is the order of their parts.

use crate::roster::ids::{BatchId, GroupRef, RunId, SourceName};

/// The one record of tree `meta`.
pub(super) const META: &[u8] = b"store";
/// How many settlements were written; see `sentinel`.
pub(super) const GENERATION: &[u8] = b"generation";
/// Since when the records are in doubt, and why; see `doubt`.
pub(super) const DOUBT: &[u8] = b"doubt";

/// In which era a group was last confirmed; see `doubt`.
pub(super) fn era(group: &GroupRef) -> Vec<u8> {
    pair("era", group.as_str())
}
/// Whether a key is one of those.
pub(super) fn is_era(key: &[u8]) -> bool {
    key.starts_with(&first("era"))
}
/// The size of the database when it was last found not to have grown out of hand; see `compact`.
pub(super) const FINE_AT: &[u8] = b"fine_at";
/// The archive that belongs to the database; see `archive`.
pub(super) const ARCHIVE: &[u8] = b"archive";
/// Groups that got another reference.
pub(super) const RENAMES: &[u8] = b"renames";
/// Until when history may be forgotten, in milliseconds since 1970.
pub(super) const FORGOTTEN: &[u8] = b"forgotten";

/// source and content hash
pub(super) fn accepted(source: &SourceName, sha256: &str) -> Vec<u8> {
    pair(source.as_str(), sha256)
}

/// run and batch
pub(super) fn run_batch(run: &RunId, batch: &BatchId) -> Vec<u8> {
    pair(run.as_str(), batch.as_str())
}

/// group and batch
pub(super) fn group_batch(group: &GroupRef, batch: &BatchId) -> Vec<u8> {
    pair(group.as_str(), batch.as_str())
}

/// What all keys of a pair with this first part begin with.
pub(super) fn first(part: &str) -> Vec<u8> {
    pair(part, "")
}

/// The second part of a pair.
pub(super) fn second(key: &[u8]) -> Option<&str> {
    let at = key.iter().position(|byte| *byte == 0)?;
    key.get(at + 1..).and_then(|part| std::str::from_utf8(part).ok())
}

/// A later piece of a long value: shelf, length-safe key, number.
pub(super) fn piece(shelf: u8, key: &[u8], number: u32) -> Vec<u8> {
    let mut piece = Vec::with_capacity(key.len() + 9);
    piece.push(shelf);
    piece.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
    piece.extend_from_slice(key);
    piece.extend_from_slice(&number.to_be_bytes());
    piece
}

/// What a key of a piece says: shelf, key of the value, number.
pub(super) fn of_piece(piece: &[u8]) -> Option<(u8, &[u8], u32)> {
    let (shelf, rest) = piece.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (key, number) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((*shelf, key, u32::from_be_bytes(number.try_into().ok()?)))
}

fn pair(first: &str, second: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(first.len() + 1 + second.len());
    key.extend_from_slice(first.as_bytes());
    key.push(0);
    key.extend_from_slice(second.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_group_whose_name_begins_like_anothers_is_not_in_its_range() {
        let batch = BatchId::parse("bat_1").unwrap();
        let longer = group_batch(&GroupRef::parse("acme-sales").unwrap(), &batch);
        assert!(!longer.starts_with(&first("acme")));
        assert_eq!(second(&longer), Some("bat_1"));
    }

    proptest! {
        #[test]
        fn pairs_sort_like_their_parts(a in "[!-~]{1,8}", b in "[!-~]{1,8}", x in "[!-~]{1,8}", y in "[!-~]{1,8}") {
            prop_assert_eq!(pair(&a, &x).cmp(&pair(&b, &y)), (&a, &x).cmp(&(&b, &y)));
        }

        #[test]
        fn pieces_of_different_values_never_share_a_key(a in "[!-~]{1,8}", b in "[!-~]{1,8}", m in 0_u32..3, n in 0_u32..3) {
            prop_assert_eq!(piece(1, a.as_bytes(), m) == piece(1, b.as_bytes(), n), a == b && m == n);
            let key = piece(7, a.as_bytes(), m);
            prop_assert_eq!(of_piece(&key), Some((7, a.as_bytes(), m)));
        }
    }
}
