//! HMDB51: one file per class and split.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{Files, id};
use super::part::{PartBuilder, format_error, lines, read};
use crate::dataset::{Dataset, Span};
use crate::error::{DataError, Result};

/// Reads every `CLASS_test_splitN.txt`: 1 trains, 2 tests, 0 is in neither.
pub fn load(annotations: &Path, files: &mut Files, split: u32) -> Result<Dataset> {
    let (labels, videos) = listed(annotations, split)?;
    let mut train = PartBuilder::new("train", annotations);
    let mut test = PartBuilder::new("test", annotations);
    for Listed { list, line, label, video, is_tested } in videos {
        let part = if is_tested { &mut test } else { &mut train };
        // The official archives unpack into a folder per class; some copies have all videos in one.
        let path = format!("{}/{video}", labels[label]);
        let media = files.find(Path::new(&path)).or_else(|| files.find(Path::new(&video)));
        part.list.clone_from(&list);
        part.add_found(id(&path), media, Path::new(&path), Span::Whole, label, Some(line))?;
    }
    for part in [&mut train, &mut test] {
        part.list = annotations.to_path_buf();
    }
    Ok(Dataset { labels, parts: vec![train.finish()?, test.finish()?] })
}

/// A line of a list.
pub struct Listed {
    /// The list.
    pub list: PathBuf,
    /// Number of the line.
    pub line: u64,
    /// Index of the class.
    pub label: usize,
    /// Name of the video's file in the folder of its class.
    pub video: String,
    /// Whether it is tested, and not trained on.
    pub is_tested: bool,
}

/// The classes of `CLASS_test_splitN.txt` in the order of the alphabet, and all videos that are trained on or tested. JHMDB has
/// such lists too.
pub fn listed(folder: &Path, split: u32) -> Result<(Vec<String>, Vec<Listed>)> {
    let suffix = format!("_test_split{split}.txt");
    let io_error = |source| DataError::Io { path: folder.to_path_buf(), source };
    let mut labels = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name();
        labels.extend(name.to_str().and_then(|name| name.strip_suffix(&suffix)).map(str::to_string));
    }
    if labels.is_empty() {
        let problem =
            format!("found no file named CLASS{suffix}, expected one for every class; there are splits 1 to 3");
        return Err(format_error(folder, None, problem));
    }
    labels.sort();
    let mut videos = vec![];
    for (label, class) in labels.iter().enumerate() {
        let list = folder.join(format!("{class}{suffix}"));
        for (line, entry) in lines(&read(&list)?) {
            let (video, role) = entry.rsplit_once(char::is_whitespace).unwrap_or((entry, ""));
            let is_tested = match role {
                "0" => continue,
                "1" => false,
                "2" => true,
                _ => {
                    let problem = format!("found {entry:?}, expected a video and 0, 1 (train) or 2 (test)");
                    return Err(format_error(&list, Some(line), problem));
                }
            };
            videos.push(Listed { list: list.clone(), line, label, video: video.trim().to_string(), is_tested });
        }
    }
    Ok((labels, videos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Media;

    #[test]
    fn a_split_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("wave_test_split1.txt", "a (1)#b.avi 1 \r\nb.avi 2 \nc.avi 0 \nflat one.avi 2 \n");
        write("wave_test_split2.txt", "a.avi 2\n");
        write("catch_test_split1.txt", "d.avi 2\n");
        fs::create_dir(folder.path().join("wave")).unwrap();
        write("wave/a (1)#b.avi", "");
        write("flat one.mp4", "");
        let load = |split| load(folder.path(), &mut Files::new(folder.path().to_path_buf()).unwrap(), split);
        let dataset = load(1).unwrap();
        assert_eq!(dataset.labels, ["catch", "wave"]);
        let [train, test] = &dataset.parts[..] else { panic!() };
        assert_eq!((train.items[0].id.as_str(), train.items[0].label), ("wave/a (1)#b", 1));
        assert!(train.missing.is_empty());
        assert_eq!((test.items[0].id.as_str(), test.items[0].label), ("wave/flat one", 1));
        assert_eq!(test.items[0].media, Media::Video(folder.path().join("flat one.mp4")));
        assert_eq!(test.missing, [Path::new("catch/d.avi"), Path::new("wave/b.avi")]);

        // Split 2 trains on nothing.
        assert!(load(2).unwrap_err().to_string().contains("names no video"));
        assert!(load(3).unwrap_err().to_string().contains("no file named CLASS_test_split3.txt"));
        write("wave_test_split1.txt", "a.avi 1\nb.avi 3\n");
        let error = load(1).unwrap_err().to_string();
        assert!(error.contains("wave_test_split1.txt line 2: found \"b.avi 3\""), "{error}");
        write("wave_test_split1.txt", "a.avi 1\nb.avi 1\na.avi 1\n");
        let error = load(1).unwrap_err().to_string();
        assert!(
            error.contains("wave_test_split1.txt line 3: \"wave/a.avi\" is \"wave/a\", which train has"),
            "{error}"
        );
    }
}
