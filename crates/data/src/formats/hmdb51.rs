//! HMDB51: one file per class and split.

use std::fs;
use std::path::Path;

use super::files::{Files, id};
use super::part::{PartBuilder, format_error, lines, read};
use crate::dataset::{Dataset, Span};
use crate::error::{DataError, Result};

/// Reads every `CLASS_test_splitN.txt`: 1 trains, 2 tests, 0 is in neither.
pub fn load(annotations: &Path, files: &mut Files, split: u32) -> Result<Dataset> {
    let suffix = format!("_test_split{split}.txt");
    let io_error = |source| DataError::Io { path: annotations.to_path_buf(), source };
    let mut labels = Vec::new();
    for entry in fs::read_dir(annotations).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name();
        labels.extend(name.to_str().and_then(|name| name.strip_suffix(&suffix)).map(str::to_string));
    }
    if labels.is_empty() {
        let problem =
            format!("found no file named CLASS{suffix}, expected one for every class; there are splits 1 to 3");
        return Err(format_error(annotations, None, problem));
    }
    labels.sort();
    let mut train = PartBuilder::new("train", annotations);
    let mut test = PartBuilder::new("test", annotations);
    for (label, class) in labels.iter().enumerate() {
        let path = annotations.join(format!("{class}{suffix}"));
        for (line, entry) in lines(&read(&path)?) {
            let (video, role) = entry.rsplit_once(char::is_whitespace).unwrap_or((entry, ""));
            let part = match role {
                "0" => continue,
                "1" => &mut train,
                "2" => &mut test,
                _ => {
                    let problem = format!("found {entry:?}, expected a video and 0, 1 (train) or 2 (test)");
                    return Err(format_error(&path, Some(line), problem));
                }
            };
            // The official archives unpack into a folder per class; some copies have all videos in one.
            let video = video.trim();
            let listed = format!("{class}/{video}");
            let media = files.find(Path::new(&listed)).or_else(|| files.find(Path::new(video)));
            part.list.clone_from(&path);
            part.add_found(id(&listed), media, Path::new(&listed), Span::Whole, label, Some(line))?;
        }
    }
    for part in [&mut train, &mut test] {
        part.list = annotations.to_path_buf();
    }
    Ok(Dataset { labels, parts: vec![train.finish()?, test.finish()?] })
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
