//! Files that are there whole or not at all.

use std::ffi::OsStr;
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

/// Removes `NAME.PROCESS.partial` of processes that are no more.
fn sweep(path: &Path) {
    let of = |name: &OsStr| -> Option<u32> {
        let rest = name.to_str()?.strip_prefix(path.file_name()?.to_str()?)?;
        rest.strip_prefix('.')?.strip_suffix(".partial")?.parse().ok()
    };
    let is_over = |process: u32| !Path::new("/proc").join(process.to_string()).exists();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if of(&entry.file_name()).is_some_and(is_over) {
            // It is in nobody's way if it stays.
            let _ = std::fs::remove_file(entry.path());
        }
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

/// A file in the making, beside the one that it becomes, under a name that no other has. Unless it is kept, it goes.
pub struct Partial {
    path: PathBuf,
    becomes: PathBuf,
}

impl Partial {
    /// Of a file that is to be. What programs that were killed left of it goes.
    pub fn of(path: &Path) -> Self {
        sweep(path);
        Partial {
            path: path.with_added_extension(format!("{}.partial", std::process::id())),
            becomes: path.to_path_buf(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_files_stay_and_what_killed_programs_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let path = folder.path().join("a.json");
        // No process has so large a number; the first one is always at work.
        for name in ["a.json.4194999.partial", "a.json.1.partial", "b.json.4194999.partial"] {
            std::fs::write(folder.path().join(name), "{").unwrap();
        }
        whole(&path, b"{}").unwrap();
        assert_eq!(names(), ["a.json", "a.json.1.partial", "b.json.4194999.partial"]);
        whole_by(&path, |_| bail!("no")).unwrap_err();
        assert_eq!((names().len(), std::fs::read(&path).unwrap()), (3, b"{}".to_vec()));
        let error = whole(&folder.path().join("none/a.json"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot write"), "{error}");
    }
}
