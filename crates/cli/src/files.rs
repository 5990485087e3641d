//! Files that are there whole or not at all.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// Refuses a file that cannot be written after the work: one whose folder is not there, or whose name does not end as it should.
pub fn can_be_written(flag: &str, path: &Path, extension: Option<&str>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    if let Some(folder) = folder {
        bail!("{flag}: there is no folder {}; make it first", folder.display());
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
    let partial = path.with_added_extension("partial");
    let write = || std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path));
    write().with_context(|| format!("cannot write {}", path.display()))
}
