//! Writing an archive, from its first block to its last.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{BLOCK_BYTES, Filed, INDEX, Index, MAGIC, block, full, place};
use crate::store::{StoreError, open, records};

/// An archive that is being written.
pub(in crate::store) struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    id: u128,
    index: Index,
    written: u64,
    block: Vec<u8>,
}

impl Writer {
    /// Begins an archive at `path`, where there is none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::store) fn create(path: &Path) -> Result<Self, StoreError> {
        let out = BufWriter::with_capacity(256 * 1024, open::create_private(path)?);
        let id = fastrand::u128(..);
        let mut writer =
            Self { out, path: path.to_owned(), id, index: Index::default(), written: 0, block: Vec::new() };
        writer.write(MAGIC)?;
        writer.write(&id.to_be_bytes())?;
        Ok(writer)
    }

    /// Adds a record. Trees and keys come in order.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::store) fn add(&mut self, shelf: u8, key: &[u8], filed: &Filed<'_>) -> Result<(), StoreError> {
        let key = full(shelf, key);
        if BLOCK_BYTES < self.block.len() + block::length(&key, filed) {
            self.end_block()?;
        }
        block::push(&mut self.block, &key, filed);
        Ok(())
    }

    /// Ends the archive and answers its id. It is not on disk before somebody says so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::store) fn finish(mut self) -> Result<u128, StoreError> {
        self.end_block()?;
        let begin = self.written;
        let index = records::block(&place(self.id, INDEX), &self.index.write())?;
        self.write(&index)?;
        self.write(&begin.to_be_bytes())?;
        self.write(&(index.len() as u64).to_be_bytes())?;
        self.out.flush().map_err(|error| StoreError::io("write", &self.path, &error))?;
        Ok(self.id)
    }

    fn end_block(&mut self) -> Result<(), StoreError> {
        let Some(first) = block::first_key(&self.block) else { return Ok(()) };
        let sealed = records::block(&place(self.id, self.index.blocks() as u64), &self.block)?;
        let pushed = self.index.push(self.written, sealed.len(), first);
        pushed.ok_or_else(|| StoreError::Io { detail: "the history is too large for one archive".to_owned() })?;
        self.write(&sealed)?;
        self.block.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.out.write_all(bytes).map_err(|error| StoreError::io("write", &self.path, &error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
