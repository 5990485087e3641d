//! UCF101: `classInd.txt` and the lists of three splits.

use std::path::Path;

use super::files::Files;
use super::part::{PartBuilder, check_labels, format_error, lines, read};
use crate::dataset::{Dataset, Part, Span};
use crate::error::Result;

/// Reads `trainlistNN.txt` and `testlistNN.txt` of a split.
pub fn load(annotations: &Path, files: &mut Files, split: u32) -> Result<Dataset> {
    let labels = classes(&annotations.join("classInd.txt"))?;
    let list = annotations.join(format!("trainlist{split:02}.txt"));
    if !list.exists() {
        let problem = format!("there is no trainlist{split:02}.txt in it; --split names one of those that are there");
        return Err(format_error(annotations, None, problem));
    }
    let train = part(&list, "train", files, &labels)?;
    let test = part(&annotations.join(format!("testlist{split:02}.txt")), "test", files, &labels)?;
    Ok(Dataset { labels, parts: vec![train, test] })
}

/// Lines of a number from 1 and a label.
fn classes(path: &Path) -> Result<Vec<String>> {
    let text = read(path)?;
    let mut labels = Vec::new();
    for (line, entry) in lines(&text) {
        let expected = labels.len() + 1;
        match entry.split_once(char::is_whitespace) {
            Some((number, label)) if number.parse() == Ok(expected) => labels.push(label.trim().to_string()),
            _ => {
                let problem = format!("found {entry:?}, expected the number {expected} and a label");
                return Err(format_error(path, Some(line), problem));
            }
        }
    }
    check_labels(path, &labels)?;
    Ok(labels)
}

/// Lines of `LABEL/video.avi`, in training lists followed by the label's number.
fn part(path: &Path, name: &str, files: &mut Files, labels: &[String]) -> Result<Part> {
    let text = read(path)?;
    let mut part = PartBuilder::new(name, path);
    for (line, entry) in lines(&text) {
        let wrong = |problem: String| format_error(path, Some(line), problem);
        // Names hold no spaces, but those that people add may.
        let numbered =
            entry.rsplit_once(char::is_whitespace).and_then(|(video, n)| Some((video.trim(), n.parse().ok()?)));
        let (video, number) = numbered.map_or((entry, None), |(video, number): (_, usize)| (video, Some(number)));
        let folder = video.split_once('/').map(|(folder, _)| folder).filter(|_| name == "test" || number.is_some());
        let expected = if name == "test" { "LABEL/video.avi" } else { "LABEL/video.avi and the label's number" };
        let folder = folder.ok_or_else(|| wrong(format!("found {entry:?}, expected {expected}")))?;
        let label = labels.iter().position(|label| label == folder);
        let label = label.ok_or_else(|| wrong(format!("{folder:?} is not a label of classInd.txt")))?;
        if number.is_some_and(|number| number != label + 1) {
            let number = number.unwrap_or_default();
            return Err(wrong(format!(
                "label {number} does not go with {folder}, which classInd.txt gives {}",
                label + 1
            )));
        }
        part.add(files, video, Span::Whole, label, Some(line))?;
    }
    part.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::dataset::Media;

    fn load_with(classes: &str, train: &str, test: &str) -> Result<(Dataset, tempfile::TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("classInd.txt"), classes).unwrap();
        fs::write(folder.path().join("trainlist02.txt"), train).unwrap();
        fs::write(folder.path().join("testlist02.txt"), test).unwrap();
        fs::create_dir(folder.path().join("Bowl")).unwrap();
        fs::write(folder.path().join("Bowl/v_1.mp4"), "").unwrap();
        let dataset = load(folder.path(), &mut Files::new(folder.path().to_path_buf())?, 2)?;
        Ok((dataset, folder))
    }

    #[test]
    fn a_split_is_read() {
        let (dataset, folder) =
            load_with("1 Archery\r\n2 Bowl\r\n", "Bowl/v_1.avi 2\nArchery/v_2.avi 1\n", "Archery/v_3.avi\n").unwrap();
        assert_eq!(dataset.labels, ["Archery", "Bowl"]);
        let train = dataset.part("train").unwrap();
        assert_eq!((train.items[0].id.as_str(), train.items[0].label), ("Bowl/v_1", 1));
        assert_eq!(train.items[0].media, Media::Video(folder.path().join("Bowl/v_1.mp4")));
        assert_eq!(train.missing, [Path::new("Archery/v_2.avi")]);
        assert_eq!(dataset.part("test").unwrap().missing, [Path::new("Archery/v_3.avi")]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let classes = "1 Archery\n2 Bowl\n";
        for (classes, train, test, expected) in [
            (
                "1 Archery\n3 Bowl\n",
                "Bowl/a.avi 2",
                "Bowl/b.avi",
                "classInd.txt line 2: found \"3 Bowl\", expected the number 2",
            ),
            ("", "Bowl/a.avi 2", "Bowl/b.avi", "classInd.txt: found no label"),
            (classes, "Bowl/a.avi", "Bowl/b.avi", "line 1: found \"Bowl/a.avi\", expected LABEL/video.avi and the"),
            (classes, "Bowl/a.avi x", "Bowl/b.avi", "line 1: found \"Bowl/a.avi x\", expected"),
            ("1 Bowl\n2 Bowl\n", "Bowl/a.avi 1", "Bowl/b.avi", "label \"Bowl\" is there twice"),
            (classes, "Bowl/a.avi 1", "Bowl/b.avi", "trainlist02.txt line 1: label 1 does not go with Bowl"),
            (classes, "Bowl/a.avi 2\na.avi 2", "Bowl/b.avi", "line 2: found \"a.avi 2\", expected LABEL/video.avi and"),
            (classes, "Bowl/a.avi 2", "Swim/b.avi", "testlist02.txt line 1: \"Swim\" is not a label"),
            (classes, "Bowl/a.avi 2", "", "testlist02.txt: the list names no video"),
            (
                classes,
                "Bowl/a.avi 2\nBowl/a.avi 2",
                "Bowl/b.avi",
                "line 2: \"Bowl/a.avi\" is \"Bowl/a\", which train has already as \"Bowl/a.avi\" in line 1",
            ),
        ] {
            let error = load_with(classes, train, test).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error =
            load(folder.path(), &mut Files::new(folder.path().to_path_buf()).unwrap(), 1).unwrap_err().to_string();
        assert!(error.contains("classInd.txt"), "{error}");
    }
}
