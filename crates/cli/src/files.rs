//! Files that are there whole or not at all.

use std::fs::File;
use std::io::{BufWriter, Write};
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
    whole_by(path, |out| Ok(out.write_all(bytes)?))
}

/// As [`whole`], for what is written piece by piece.
pub fn whole_by(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let partial = path.with_added_extension("partial");
    let all = || -> Result<()> {
        let mut out = BufWriter::new(File::create(&partial)?);
        write(&mut out)?;
        out.flush()?;
        Ok(std::fs::rename(&partial, path)?)
    };
    all().with_context(|| format!("cannot write {}", path.display())).inspect_err(|_| {
        // What cannot be removed was never made.
        let _ = std::fs::remove_file(&partial);
    })
}
