//! Files for parsers that read files.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What a section of several files begins with: its name follows up to the end of the line.
const MARK: &[u8] = b"=== ";

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// A folder that is empty.
pub fn folder() -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        // The one before goes first.
        *folder = None;
        folder.insert(tempfile::tempdir().expect("there is room for a folder")).path().to_path_buf()
    })
}

/// A file with these bytes.
pub fn file(name: &str, data: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, data).expect("there is room for a file");
    path
}

/// The first line, and a folder of the files that follow: each after `=== NAME`, a line.
pub fn files(data: &[u8]) -> (String, PathBuf) {
    let (first, mut rest) = split_line(data);
    let folder = folder();
    while let Some(start) = rest.windows(MARK.len()).position(|bytes| bytes == MARK) {
        let (name, content) = split_line(&rest[start + MARK.len()..]);
        let end = content.windows(MARK.len()).position(|bytes| bytes == MARK).unwrap_or(content.len());
        // The line before a mark ends there.
        let file = content[..end].strip_suffix(b"\n").filter(|_| end < content.len()).unwrap_or(&content[..end]);
        if let Some(path) = std::str::from_utf8(name).ok().and_then(|name| inside(&folder, name)) {
            // What cannot be there, such as a file where there is a folder, is not there.
            let made = path.parent().map(fs::create_dir_all);
            let _ = made.map(|made| made.and_then(|()| fs::write(&path, file)));
        }
        rest = &content[end..];
    }
    (String::from_utf8_lossy(first).trim().to_string(), folder)
}

/// A path below the folder, unless the name leads out of it.
pub fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    (name.len() < 100 && name.split('/').all(is_plain)).then(|| folder.join(name))
}

fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}
