//! Files that are there whole or not at all.

use std::path::Path;

use anyhow::{Context, Result};

/// Writes beside the file, then renames.
pub fn whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_added_extension("partial");
    let write = || std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path));
    write().with_context(|| format!("cannot write {}", path.display()))
}
