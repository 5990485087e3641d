//! Files that are there whole or not at all.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Refuses a file that cannot be written after the work: one whose folder is not there, or whose name does not end as it should.
pub fn can_be_written(flag: &str, path: &Path, extension: Option<&str>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    if let Some(folder) = folder {
        bail!("{flag}: there is no folder {}; make it first", folder.display());
    }
    if path.is_dir() {
        bail!("{flag}: {} is a folder; name a file", path.display());
    }
    match extension {
        Some(extension) if path.extension().is_none_or(|found| found != extension) => {
            bail!("{flag}: found {}, expected a name that ends in .{extension}", path.display())
        }
        _ => Ok(()),
    }
}

/// Writes beside the file, then renames.
pub fn whole(path: &Path, bytes: &[u8]) -> Result<()> {
    whole_by(path, |out| Ok(out.write_all(bytes)?))
}

/// As [`whole`], for what is written piece by piece.
pub fn whole_by(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let partial = Partial::of(path);
    let all = || -> Result<()> {
        let mut out = BufWriter::new(File::create(partial.path())?);
        write(&mut out)?;
        Ok(out.flush()?)
    };
    all().with_context(|| format!("cannot write {}", path.display()))?;
    partial.keep()
}

/// A file in the making, beside the one that it becomes. Unless it is kept, it goes.
pub struct Partial {
    path: PathBuf,
    becomes: PathBuf,
}

impl Partial {
    /// Of a file that is to be.
    pub fn of(path: &Path) -> Self {
        Partial { path: path.with_added_extension("partial"), becomes: path.to_path_buf() }
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames it, now that it is whole.
    pub fn keep(self) -> Result<()> {
        let Partial { path, becomes } = &self;
        std::fs::rename(path, becomes).with_context(|| format!("cannot write {}", becomes.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Not there once it is renamed.
        let _ = std::fs::remove_file(&self.path);
    }
}
