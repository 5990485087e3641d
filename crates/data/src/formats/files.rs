//! Finding what a list names on disk.

use std::collections::{HashMap, HashSet};
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

/// What a folder holds: names of files, those of videos by their stem, and names of folders.
#[derive(Default)]
struct Listing {
    files: HashSet<String>,
    videos: HashMap<String, String>,
    folders: HashSet<String>,
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

    /// The medium of a path below the root: the file itself, a video with another extension, or a folder of pictures
    /// named like it with or without extension. A path to a picture is that picture.
    pub fn find(&mut self, path: &Path) -> Option<Media> {
        let name = path.file_name()?.to_str()?;
        let full = self.root.join(path);
        let parent = full.parent()?;
        if !self.folders.contains_key(parent) {
            self.folders.insert(parent.to_path_buf(), list(parent));
        }
        let listing = &self.folders[parent];
        if listing.files.contains(name) {
            return Some(if is_picture(&full) { Media::Frames(full) } else { Media::Video(full) });
        }
        let stem = stem(name);
        if let Some(found) = listing.videos.get(stem) {
            return Some(Media::Video(full.with_file_name(found)));
        }
        let folders = [name, stem].into_iter().filter(|name| listing.folders.contains(*name));
        folders.map(|name| full.with_file_name(name)).find(|folder| holds_pictures(folder)).map(Media::Frames)
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
        let Ok(mut kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            // Links count as what they point to, and not at all when that is gone.
            let Ok(target) = fs::metadata(entry.path()) else { continue };
            kind = target.file_type();
        }
        if kind.is_dir() {
            listing.folders.insert(name);
            continue;
        }
        if stem(&name) != name {
            // Where several extensions share a stem, the first by name, so that the order of the disk decides nothing.
            let first = listing.videos.entry(stem(&name).to_string()).or_insert_with(|| name.clone());
            if name < *first {
                first.clone_from(&name);
            }
        }
        listing.files.insert(name);
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
        for file in [
            "a/v [1] #x.mp4",
            "a/both.avi",
            "a/both.mkv",
            "a/Turnübung 体操.MP4",
            "a/odd.3gp",
            "a/f.r.a.m.e.s/image_00001.jpg",
            "a/clip.avi/1.PNG",
            "a/p.png",
            "a/none/x.txt",
        ] {
            make(file);
        }
        let mut files = Files::new(root.path().to_path_buf()).unwrap();
        let video = |path: &str| Some(Media::Video(root.path().join(path)));
        let frames = |path: &str| Some(Media::Frames(root.path().join(path)));
        assert_eq!(files.find(Path::new("a/v [1] #x.avi")), video("a/v [1] #x.mp4"));
        assert_eq!(files.find(Path::new("a/v [1] #x")), video("a/v [1] #x.mp4"));
        assert_eq!(files.find(Path::new("a/both.mkv")), video("a/both.mkv"));
        assert_eq!(files.find(Path::new("a/both.mp4")), video("a/both.avi"));
        assert_eq!(files.find(Path::new("a/Turnübung 体操.avi")), video("a/Turnübung 体操.MP4"));
        assert_eq!(files.find(Path::new("a/odd.3gp")), video("a/odd.3gp"));
        assert_eq!(files.find(&root.path().join("a/both.avi")), video("a/both.avi"));
        assert_eq!(files.find(Path::new("a/clip.avi")), frames("a/clip.avi"));
        assert_eq!(files.find(Path::new("a/f.r.a.m.e.s")), frames("a/f.r.a.m.e.s"));
        assert_eq!(files.find(Path::new("a/f.r.a.m.e.s.avi")), frames("a/f.r.a.m.e.s"));
        assert_eq!(files.find(Path::new("a/p.png")), frames("a/p.png"));
        for nothing in ["a/q.png", "a/none", "b/v.mp4", "a/odd", ""] {
            assert_eq!(files.find(Path::new(nothing)), None, "{nothing}");
        }
        assert_eq!(id("Basketball/v_Basketball_g01_c01.avi"), "Basketball/v_Basketball_g01_c01");
        assert_eq!(id("./v.2.name"), "v.2.name");
    }

    #[cfg(unix)]
    #[test]
    fn links_count_as_what_they_point_to() {
        let root = tempfile::tempdir().unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
        fs::write(root.path().join("v.mp4"), "").unwrap();
        link("v.mp4", "w.mp4");
        link("gone.mp4", "x.mp4");
        let mut files = Files::new(root.path().to_path_buf()).unwrap();
        assert_eq!(files.find(Path::new("w.avi")), Some(Media::Video(root.path().join("w.mp4"))));
        assert_eq!(files.find(Path::new("x.mp4")), None);
    }

    #[test]
    fn a_missing_root_is_named() {
        let error = Files::new("/no/such/folder".into()).err().unwrap().to_string();
        assert!(error.contains("/no/such/folder") && error.contains("--videos"), "{error}");
    }
}
