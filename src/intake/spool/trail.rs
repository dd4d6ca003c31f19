//! The trail that processed exports leave in an inbox: what rosterd filed there, whatever its state remembers of it.

use chrono::{DateTime, Utc};
use rustix::io::Errno;

use super::super::settle::Thing;
use super::{Beside, Place, Spool, SpoolError, folders, names};

/// A processed export, as its name tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// When it was received, to the second.
    pub at: DateTime<Utc>,
    /// How its sha256 begins.
    pub sha8: String,
}

impl Spool {
    /// The newest processed exports that rosterd filed, all of one second; none without any. Nothing is made or changed.
    pub fn newest_processed(&self) -> Result<Vec<Trail>, SpoolError> {
        let folder = Place::Processed.folder();
        let processed = match folders::open_within(&self.open_inbox()?, folder) {
            Ok(processed) => processed,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(self.io("open", folder, error)),
        };
        let months = folders::list(&processed).map_err(|error| self.io("list", folder, error))?;
        let mut months: Vec<_> = months.into_iter().filter(|month| matches!(month.thing, Thing::Folder)).collect();
        months.sort_by(|a, b| b.name.cmp(&a.name));
        for month in months {
            let Some(name) = month.name.to_str() else { continue };
            let inside = folders::open_within(&processed, name).map_err(|error| self.io("open", name, error))?;
            let found = folders::list(&inside).map_err(|error| self.io("list", name, error))?;
            let files = found.iter().filter(|found| matches!(found.thing, Thing::File(_)));
            let mut trails: Vec<Trail> = files.filter_map(|found| trail(found.name.to_str()?)).collect();
            if let Some(newest) = trails.iter().map(|trail| trail.at).max() {
                trails.retain(|trail| trail.at == newest);
                return Ok(trails);
            }
        }
        Ok(Vec::new())
    }
}

/// What the name of a filed export tells; none for what rosterd did not name, and for what lies beside an export.
fn trail(name: &str) -> Option<Trail> {
    if [Beside::Receipt, Beside::Problems].iter().any(|beside| name.ends_with(beside.suffix())) {
        return None;
    }
    let (at, sha8) = names::filed(name)?;
    Some(Trail { at, sha8: sha8.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_export_is_told_by_its_name_and_what_others_put_there_is_not_ours() {
        let inbox = tempfile::tempdir().unwrap();
        let spool = Spool::at(inbox.path());
        assert_eq!(spool.newest_processed().unwrap(), []);
        assert!(!inbox.path().join("processed").exists(), "looking makes nothing");
        let put = |path: &str| {
            let path = inbox.path().join("processed").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        put("2026-12/somebody's copy.csv");
        put("2026-12/20261203T060000Z_0c0c0c0c_c.csv.receipt.txt");
        assert_eq!(spool.newest_processed().unwrap(), []);
        put("2026-10/20261030T060000Z_0d0d0d0d_d.csv");
        put("2026-11/20261101T060000Z_0a0a0a0a_a.csv");
        put("2026-11/20261102T060000Z_0b0b0b0b-2_b.csv");
        put("2026-11/20261102T060000Z_0b0b0b0b-2_b.csv.receipt.txt");
        let at = "2026-11-02T06:00:00Z".parse().unwrap();
        let trail = |sha8: &str| Trail { at, sha8: sha8.to_owned() };
        assert_eq!(spool.newest_processed().unwrap(), [trail("0b0b0b0b")]);
        put("2026-11/20261102T060000Z_0e0e0e0e_e.csv");
        let mut both = spool.newest_processed().unwrap();
        both.sort_by(|a, b| a.sha8.cmp(&b.sha8));
        assert_eq!(both, [trail("0b0b0b0b"), trail("0e0e0e0e")]);
    }

    #[test]
    fn an_inbox_that_is_away_has_no_answer() {
        let gone = tempfile::tempdir().unwrap().path().join("gone");
        assert!(matches!(Spool::at(&gone).newest_processed(), Err(SpoolError::Missing(_))));
    }
}
