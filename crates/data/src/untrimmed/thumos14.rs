//! THUMOS14's temporal annotations: a text file for each class and part.

use std::fs;
use std::path::{Path, PathBuf};

use super::collect::{Collected, Kind, Place};
use crate::error::{DataError, Result};
use crate::formats::part::{format_error, lines, read as read_text};

/// The list of classes, with the numbers that detections use.
const CLASSES: &str = "detclasslist.txt";
/// The class of moments that are neither right nor wrong.
const AMBIGUOUS: &str = "Ambiguous";

/// A file of annotations: its class and part are its name.
struct ClassFile {
    path: PathBuf,
    class: String,
    part: String,
}

/// Reads the files of a folder, and of the folders `annotation...` in it.
pub fn read(folder: &Path) -> Result<Collected> {
    let (mut files, lists) = list(folder)?;
    if files.is_empty() {
        let problem =
            "found no CLASS_PART.txt such as Diving_val.txt in it or in folders annotation_val, annotation_test";
        return Err(format_error(folder, None, problem));
    }
    let (labels, class_ids) = match lists.first() {
        Some(list) => classes(list)?,
        None => {
            let mut labels: Vec<String> =
                files.iter().map(|file| file.class.clone()).filter(|class| class != AMBIGUOUS).collect();
            labels.sort();
            labels.dedup();
            let class_ids = (0..labels.len() as u32).collect();
            (labels, class_ids)
        }
    };
    for other in lists.iter().skip(1) {
        if classes(other)? != (labels.clone(), class_ids.clone()) {
            let problem = format!("its classes are not those of {}; all parts need the same", lists[0].display());
            return Err(format_error(other, None, problem));
        }
    }
    files.sort_by_key(|file| labels.iter().position(|label| *label == file.class).unwrap_or(labels.len()));
    let mut collected = Collected::new(folder, labels.clone(), class_ids)?;
    for file in &files {
        collected.part(&file.part);
        // A class that nobody annotated would count for nothing, and nobody would see it.
        let is_there = |label: &String| files.iter().any(|other| other.part == file.part && other.class == *label);
        if let Some(label) = labels.iter().find(|label| !is_there(label)) {
            let problem = format!(
                "there is {} but no {label}_{}.txt beside it; every class of {CLASSES} needs its file, an empty one if \
                 nothing shows it",
                file.path.display(),
                file.part
            );
            return Err(format_error(folder, None, problem));
        }
    }
    for file in &files {
        read_class(file, &labels, &mut collected)?;
    }
    Ok(collected)
}

fn read_class(file: &ClassFile, labels: &[String], collected: &mut Collected) -> Result<()> {
    let ClassFile { path, class, part } = file;
    let kind = match labels.iter().position(|label| label == class) {
        Some(label) => Some(Kind::Action(label)),
        None if class == AMBIGUOUS => Some(Kind::Ambiguous),
        None => None,
    };
    for (line, entry) in lines(&read_text(path)?) {
        let fields: Vec<&str> = entry.split_whitespace().collect();
        let place = Place { path, line: Some(line), part, video: fields[0] };
        match (kind, &fields[..]) {
            (None, _) => collected.doubt(&place, format!("{class:?} is not a class of {CLASSES}")),
            (Some(kind), [_, start, end]) => collected.add(&place, kind, [start, end]),
            _ => collected.doubt(&place, format!("found {entry:?}, expected a video and two times in seconds")),
        }
    }
    Ok(())
}

/// The files of annotations by class and part, and the lists of classes, in the order of their names.
fn list(folder: &Path) -> Result<(Vec<ClassFile>, Vec<PathBuf>)> {
    let mut folders = vec![folder.to_path_buf()];
    let is_annotation = |path: &PathBuf| name_of(path).to_ascii_lowercase().starts_with("annotation") && path.is_dir();
    folders.extend(entries(folder)?.into_iter().filter(is_annotation));
    let (mut files, mut lists) = (vec![], vec![]);
    for path in folders.iter().map(|folder| entries(folder)).collect::<Result<Vec<_>>>()?.concat() {
        if name_of(&path) == CLASSES {
            lists.push(path);
            continue;
        }
        let class_and_part = name_of(&path).strip_suffix(".txt").and_then(|stem| stem.rsplit_once('_'));
        let Some((class, part)) = class_and_part.filter(|(class, part)| !class.is_empty() && !part.is_empty()) else {
            continue;
        };
        let (class, part) = (class.to_string(), part.to_string());
        let same = |file: &&ClassFile| (&file.class, &file.part) == (&class, &part);
        if let Some(first) = files.iter().find(same) {
            let problem = format!("{} has these annotations already; take one out", first.path.display());
            return Err(format_error(&path, None, problem));
        }
        files.push(ClassFile { path, class, part });
    }
    Ok((files, lists))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let wrong = |source| DataError::Io { path: folder.to_path_buf(), source };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        paths.push(entry.map_err(wrong)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Lines of a number and a class.
fn classes(path: &Path) -> Result<(Vec<String>, Vec<u32>)> {
    let (mut labels, mut class_ids) = (vec![], vec![]);
    for (line, entry) in lines(&read_text(path)?) {
        let class =
            entry.split_once(char::is_whitespace).and_then(|(id, class)| Some((id.parse().ok()?, class.trim())));
        let Some((id, class)) = class else {
            return Err(format_error(path, Some(line), format!("found {entry:?}, expected a number and a class")));
        };
        if class_ids.contains(&id) {
            let problem = format!("the number {id} is there twice; detections could not be told apart");
            return Err(format_error(path, Some(line), problem));
        }
        labels.push(class.to_string());
        class_ids.push(id);
    }
    Ok((labels, class_ids))
}

#[cfg(test)]
mod tests {
    use super::super::{ActionSegment, Untrimmed};
    use super::*;
    use crate::dataset::Media;
    use crate::formats::files::Files;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn load(files: &[(&str, &str)], skip_bad: bool) -> Result<Untrimmed> {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        read(folder.path())?.finish(folder.path(), None, skip_bad)
    }

    const CLASSES: (&str, &str) = ("detclasslist.txt", "9 Dunk\r\n7 Bowl\r\n");

    #[test]
    fn classes_have_the_order_and_numbers_of_the_list() {
        let files = [
            CLASSES,
            ("Dunk_test.txt", "video_test_2  4 5.5\n"),
            ("Bowl_test.txt", "video_test_2\t0.0 1.5\r\nvideo_test_1 2 3\r\n\r\n"),
            ("Ambiguous_test.txt", "video_test_2 7 8\nvideo_test_3 1 2\n"),
            ("Dunk_val.txt", "v 1 2\n"),
            ("Bowl_val.txt", ""),
            ("readme.txt", "not an annotation"),
        ];
        let found = load(&files, false).unwrap();
        assert_eq!((found.labels, found.class_ids), (vec!["Dunk".to_string(), "Bowl".into()], vec![9, 7]));
        let names: Vec<&str> = found.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["val", "test"]);
        let test: Vec<_> = found.parts[1].videos.iter().map(|video| video.id.as_str()).collect();
        assert_eq!(test, ["video_test_1", "video_test_2", "video_test_3"]);
        let second = &found.parts[1].videos[1];
        let segment = |label, start_s, end_s| ActionSegment { label, start_s, end_s };
        assert_eq!(second.segments, [segment(0, 4.0, 5.5), segment(1, 0.0, 1.5)]);
        assert_eq!((&second.ambiguous[..], second.duration_s), (&[(7.0, 8.0)][..], None));
        assert!(found.parts[1].videos[2].segments.is_empty());
        assert!(found.parts.iter().all(|part| part.missing.is_empty()));
    }

    #[test]
    fn parts_may_have_folders_and_there_may_be_no_list() {
        let files = [
            ("annotation_val/Dunk_val.txt", "a 1 2"),
            ("annotation_val/Bowl_val.txt", "a 3 4"),
            ("annotation_test/Bowl_test.txt", "b 1 2"),
            ("annotation_test/Dunk_test.txt", ""),
            ("annotation_test/Ambiguous_test.txt", "b 4 5"),
            ("other/Swim_test.txt", "b 4 5"),
        ];
        let found = load(&files, false).unwrap();
        assert_eq!((found.labels, found.class_ids), (vec!["Bowl".to_string(), "Dunk".into()], vec![0, 1]));
        assert_eq!(found.parts.len(), 2);
        let both = [("annotation_val/detclasslist.txt", "1 Bowl\n2 Dunk"), ("detclasslist.txt", "2 Bowl\n1 Dunk")];
        let error = load(&[&files[..], &both[..1]].concat(), false).unwrap();
        assert_eq!(error.class_ids, [1, 2]);
        let error = load(&[&files[..], &both].concat(), false).unwrap_err().to_string();
        assert!(error.contains("annotation_val/detclasslist.txt: its classes are not those of"), "{error}");
    }

    #[test]
    fn videos_are_looked_for_in_every_usual_place() {
        let folder = tempfile::tempdir().unwrap();
        let lists = [("Bowl_val.txt", "a 1 2\nb 1 2\nc 1 2\nd 1 2\ne 1 2\nf 1 2\n")];
        let videos = ["x/a.mp4", "x/val/b.avi", "x/validation/c/1.jpg", "x/videos/d.mkv", "x/videos/val/e.webm"];
        write(folder.path(), &lists);
        write(folder.path(), &videos.map(|path| (path, "")));
        let mut files = Files::new(folder.path().join("x")).unwrap();
        let found = read(folder.path()).unwrap().finish(folder.path(), Some(&mut files), false).unwrap();
        let media: Vec<_> = found.parts[0].videos.iter().map(|video| video.media.clone()).collect();
        let video = |path: &str| Some(Media::Video(folder.path().join(path)));
        let pictures = Some(Media::Frames(folder.path().join("x/validation/c")));
        let expected = [video(videos[0]), video(videos[1]), pictures, video(videos[3]), video(videos[4]), None];
        assert_eq!(media, expected);
        assert_eq!(found.parts[0].missing, ["f"]);
    }

    #[test]
    fn what_is_wrong_with_files_is_named() {
        for (files, expected) in [
            (&[("readme.txt", "x")][..], "found no CLASS_PART.txt"),
            (&[CLASSES, ("Dunk_val.txt", "a 1 2")], "but no Bowl_val.txt beside it"),
            (&[("detclasslist.txt", "Bowl"), ("Bowl_val.txt", "")], "detclasslist.txt line 1: found \"Bowl\""),
            (&[("detclasslist.txt", "1 Bowl\n1 Dunk"), ("Bowl_val.txt", "")], "line 2: the number 1 is there twice"),
            (&[("detclasslist.txt", "1 Bowl\n2 Bowl"), ("Bowl_val.txt", "")], "label \"Bowl\" is there twice"),
            (&[("Ambiguous_val.txt", "a 1 2")], "found no label"),
            (&[("Bowl_val.txt", "")], "name no video for val"),
            (&[("Bowl_val.txt", "a 1 2"), ("annotation/Bowl_val.txt", "")], "has these annotations already"),
        ] {
            let error = load(files, true).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn annotations_that_cannot_be_right_are_refused_or_left_out_and_named() {
        let bowl = "a 1 2\na 3 3\nb -1 2\nc x 2\nd 1\na 1.0 2.0\ne nan 3\na 0.5 2\n";
        let files = [
            CLASSES,
            ("Bowl_val.txt", bowl),
            ("Dunk_val.txt", "a 1 2\n"),
            ("Swim_val.txt", "a 1 2\n"),
            ("Ambiguous_val.txt", "a 9 8\n"),
        ];
        let found = load(&files, true).unwrap();
        let skipped: Vec<_> = found
            .skipped
            .iter()
            .map(|doubt| {
                (doubt.path.file_name().unwrap().to_str().unwrap(), doubt.line, &*doubt.video, &*doubt.problem)
            })
            .collect();
        let [.., ambiguous, swim] = skipped[..] else { panic!("{skipped:?}") };
        assert_eq!(
            &ambiguous,
            &("Ambiguous_val.txt", Some(1), "a", "the segment ends at 8 s, expected later than its begin at 9 s")
        );
        assert_eq!(&swim, &("Swim_val.txt", Some(1), "a", "\"Swim\" is not a class of detclasslist.txt"));
        for ((path, line, video, problem), (expected_line, expected_video, expected)) in skipped[..6].iter().zip([
            (2, "a", "ends at 3 s, expected later"),
            (3, "b", "begins at -1 s, expected 0 or later"),
            (4, "c", "found the times \"x\" and \"2\""),
            (5, "d", "found \"d 1\", expected a video and two times"),
            (6, "a", "the segment 1 to 2 s is there already, in "),
            (7, "e", "found the times \"nan\" and \"3\""),
        ]) {
            assert_eq!((*path, *line, *video), ("Bowl_val.txt", Some(expected_line), expected_video));
            assert!(problem.contains(expected), "{problem}");
        }
        assert_eq!(skipped.len(), 8);
        assert!(skipped[4].3.ends_with("Bowl_val.txt line 1"), "{}", skipped[4].3);
        // The same times with another label are another action; videos without one right annotation are still there.
        let counts: Vec<_> = found.parts[0].videos.iter().map(|video| (&*video.id, video.segments.len())).collect();
        assert_eq!(counts, [("a", 3), ("b", 0), ("c", 0), ("e", 0)]);

        let error = load(&files, false).unwrap_err().to_string();
        let expected =
            "Bowl_val.txt line 2: a: the segment ends at 3 s, expected later than its begin at 3 s (and 7 more";
        assert!(error.contains(expected) && error.contains("--skip-bad"), "{error}");
    }
}
