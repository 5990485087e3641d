//! Files and folders of a set: whole or not there.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use unscene_draw::Canvas;

use crate::error::StageError;

/// The settings of a set that is not finished.
const UNFINISHED: &str = ".stage-unfinished.json";
const FINISHED: &str = "stage.json";

/// Claims an empty or missing folder, or one that was left unfinished with the same settings.
pub(crate) fn occupy(settings: &impl Serialize, out: &Path) -> Result<(), StageError> {
    let occupied = |problem: &str| Err(StageError::Occupied { path: out.to_path_buf(), problem: problem.into() });
    let text = serde_json::to_string_pretty(settings).expect("settings are plain numbers");
    create_dir(out)?;
    match fs::read_to_string(out.join(UNFINISHED)) {
        Ok(found) if found == text => return Ok(()),
        Ok(_) => return occupied("holds an unfinished set of other settings"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(StageError::Io { path: out.join(UNFINISHED), source }),
    }
    if out.join(FINISHED).exists() {
        return occupied("holds a finished set already");
    }
    let mut entries = fs::read_dir(out).map_err(|source| StageError::Io { path: out.to_path_buf(), source })?;
    if entries.next().is_some() {
        return occupied("is not empty");
    }
    write_file(&out.join(UNFINISHED), text.as_bytes())
}

/// Marks a set as finished.
pub(crate) fn finish(out: &Path) -> Result<(), StageError> {
    rename(&out.join(UNFINISHED), &out.join(FINISHED))
}

pub(crate) fn write_csv<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<(), StageError> {
    let failed = |error: csv::Error| StageError::Io { path: path.to_path_buf(), source: error.into() };
    let partial = beside(path);
    let mut writer = csv::Writer::from_path(&partial).map_err(failed)?;
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    writer.flush().map_err(|source| StageError::Io { path: path.to_path_buf(), source })?;
    rename(&partial, path)
}

pub(crate) fn write_png(path: &Path, canvas: &Canvas) -> Result<(), StageError> {
    let bytes = canvas.png().map_err(|source| StageError::Io { path: path.to_path_buf(), source })?;
    write_file(path, &bytes)
}

/// Writes beside, then renames: a file is whole or not there.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StageError> {
    let partial = beside(path);
    fs::write(&partial, bytes).map_err(|source| StageError::Io { path: path.to_path_buf(), source })?;
    rename(&partial, path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    path.with_file_name(name)
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StageError> {
    fs::rename(from, to).map_err(|source| StageError::Io { path: to.to_path_buf(), source })
}

pub(crate) fn create_dir(path: &Path) -> Result<(), StageError> {
    fs::create_dir_all(path).map_err(|source| StageError::Io { path: path.to_path_buf(), source })
}
