//! Expiring: processed exports that are older than the config keeps them go, with all that lies beside them.

use chrono::{DateTime, Utc};
use rustix::fs::AtFlags;

use super::super::settle::Thing;
use super::{Place, Spool, SpoolError, folders, names};

impl Spool {
    /// Removes processed exports that were filed before `before`, their receipts and tables of problems, and months that are
    /// empty then. `keep` is the path, relative to the inbox, of an export that stays however old it is: the last accepted one.
    /// Only names that rosterd gave are touched. Answers how many files went.
    pub fn expire(&self, before: DateTime<Utc>, keep: Option<&str>) -> Result<u64, SpoolError> {
        let inbox = self.open_inbox()?;
        let processed = self.open_below(&inbox, Place::Processed.folder())?;
        let mut gone = 0;
        for month in folders::list(&processed).map_err(|e| self.io("list", Place::Processed.folder(), e))? {
            let Some(name) = month.name.to_str().filter(|_| matches!(month.thing, Thing::Folder)) else { continue };
            let folder = self.open_below(&processed, name)?;
            let mut is_empty = true;
            for found in folders::list(&folder).map_err(|e| self.io("list", name, e))? {
                let file = found.name.to_string_lossy();
                let path = format!("{}/{name}/{file}", Place::Processed.folder());
                let is_kept = keep.is_some_and(|keep| path.starts_with(keep));
                if is_kept || names::filed_at(&file).is_none_or(|at| before <= at) {
                    is_empty = false;
                    continue;
                }
                self.step()
                    .and_then(|()| rustix::fs::unlinkat(&folder, &found.name, AtFlags::empty()))
                    .map_err(|e| self.io("remove", &path, e))?;
                gone += 1;
            }
            if is_empty {
                folders::tried("remove an empty month", rustix::fs::unlinkat(&processed, name, AtFlags::REMOVEDIR));
            }
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_exports_go_with_their_receipts_and_the_last_accepted_stays() {
        let inbox = tempfile::tempdir().unwrap();
        let spool = Spool::open(inbox.path()).unwrap();
        let put = |path: &str| {
            let path = inbox.path().join("processed").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        for file in ["20240105T060000Z_0a0a0a0a_a.csv", "20240106T060000Z_0b0b0b0b_b.csv"] {
            put(&format!("2024-01/{file}"));
            put(&format!("2024-01/{file}.receipt.txt"));
        }
        put("2024-02/20240205T060000Z_0c0c0c0c_c.csv");
        put("2024-02/somebody's note.txt");
        put("2024-03/20240305T060000Z_0d0d0d0d_d.csv");
        put("2024-04/20240405T060000Z_0e0e0e0e_e.csv");

        let keep = Some("processed/2024-03/20240305T060000Z_0d0d0d0d_d.csv");
        let gone = spool.expire("2024-04-01T00:00:00Z".parse().unwrap(), keep).unwrap();

        assert_eq!(gone, 5);
        let left = |month: &str| inbox.path().join("processed").join(month);
        assert!(!left("2024-01").exists());
        assert_eq!(std::fs::read_dir(left("2024-02")).unwrap().count(), 1, "what rosterd did not name stays");
        assert!(left("2024-03/20240305T060000Z_0d0d0d0d_d.csv").exists());
        assert!(left("2024-04/20240405T060000Z_0e0e0e0e_e.csv").exists());
    }
}
