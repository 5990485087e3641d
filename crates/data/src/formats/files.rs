//! Finding what a list names on disk.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use unscene_media::is_picture;

use crate::dataset::Media;
use crate::error::{DataError, Result};

/// Extensions of videos; lists and disks often disagree about them.
const VIDEOS: [&str; 11] = ["mp4", "avi", "mkv", "webm", "mov", "m4v", "mpg", "mpeg", "ts", "wmv", "flv"];

/// A folder of videos, or of folders of pictures. Each folder within is listed once, and folders of pictures never:
/// large datasets have hundreds of thousands of them.
pub struct Files {
    root: PathBuf,
    folders: HashMap<PathBuf, Listing>,
}

/// What a folder holds: names of videos by their stem, and names of folders.
#[derive(Default)]
struct Listing {
    videos: HashMap<String, String>,
    folders: HashMap<String, ()>,
}

impl Files {
    /// Below this folder.
    pub fn new(root: PathBuf) -> Result<Self> {
        if root.is_dir() {
            return Ok(Files { root, folders: HashMap::new() });
        }
        let source = std::io::Error::other("there is no such folder of videos; name it with --videos");
        Err(DataError::Io { path: root, source })
    }

    /// The medium of a path below the root: the video itself, one with another extension, or a folder of pictures
    /// named like it with or without extension. A path to a picture is that picture.
    pub fn find(&mut self, path: &Path) -> Option<Media> {
        let full = self.root.join(path);
        let name = full.file_name()?.to_str()?.to_string();
        let parent = full.parent()?.to_path_buf();
        let listing = self.folders.entry(parent).or_insert_with_key(|parent| list(parent));
        if is_picture(&full) {
            return full.is_file().then_some(Media::Frames(full));
        }
        let stem = stem(&name);
        if let Some(found) = listing.videos.get(stem) {
            return Some(Media::Video(full.with_file_name(found)));
        }
        let folder = [name.as_str(), stem].into_iter().find(|name| listing.folders.contains_key(*name))?;
        let folder = full.with_file_name(folder);
        holds_pictures(&folder).then_some(Media::Frames(folder))
    }
}

/// A name without a video's extension; other dots belong to the name.
pub fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if VIDEOS.contains(&extension.to_ascii_lowercase().as_str()) => stem,
        _ => name,
    }
}

/// A path's id: as the list writes it, without a video's extension.
pub fn id(path: &str) -> String {
    stem(path.trim_start_matches("./")).to_string()
}

/// A folder that cannot be listed holds nothing.
fn list(folder: &Path) -> Listing {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Links count as what they point to.
        if entry.file_type().is_ok_and(|kind| kind.is_dir() || (kind.is_symlink() && entry.path().is_dir())) {
            listing.folders.insert(name, ());
        } else if stem(&name) != name {
            // Where several extensions share a stem, the first by name, so that the order of the disk decides nothing.
            let first = listing.videos.entry(stem(&name).to_string()).or_insert_with(|| name.clone());
            if name < *first {
                *first = name;
            }
        }
    }
    listing
}

fn holds_pictures(folder: &Path) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| is_picture(&entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_found_by_name_whatever_their_form() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for file in
            ["a/v [1] #x.mp4", "a/both.avi", "a/both.mkv", "a/f.r.a.m.e.s/image_00001.jpg", "a/p.png", "a/none/x.txt"]
        {
            make(file);
        }
        let mut files = Files::new(root.path().to_path_buf()).unwrap();
        let video = |path: &str| Some(Media::Video(root.path().join(path)));
        let frames = |path: &str| Some(Media::Frames(root.path().join(path)));
        assert_eq!(files.find(Path::new("a/v [1] #x.avi")), video("a/v [1] #x.mp4"));
        assert_eq!(files.find(Path::new("a/v [1] #x")), video("a/v [1] #x.mp4"));
        assert_eq!(files.find(Path::new("a/both.mkv")), video("a/both.avi"));
        assert_eq!(files.find(Path::new("a/f.r.a.m.e.s")), frames("a/f.r.a.m.e.s"));
        assert_eq!(files.find(Path::new("a/f.r.a.m.e.s.avi")), frames("a/f.r.a.m.e.s"));
        assert_eq!(files.find(Path::new("a/p.png")), frames("a/p.png"));
        for nothing in ["a/q.png", "a/none", "b/v.mp4", ""] {
            assert_eq!(files.find(Path::new(nothing)), None, "{nothing}");
        }
        assert_eq!(id("Basketball/v_Basketball_g01_c01.avi"), "Basketball/v_Basketball_g01_c01");
        assert_eq!(id("./v.2.name"), "v.2.name");
    }

    #[test]
    fn a_missing_root_is_named() {
        let error = Files::new("/no/such/folder".into()).err().unwrap().to_string();
        assert!(error.contains("/no/such/folder") && error.contains("--videos"), "{error}");
    }
}
