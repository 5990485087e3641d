//! This project's own format of actors: one JSON file that is easy to write.

use std::path::Path;

use serde::Deserialize;
use unscene_vision::Tube;

use super::ActorVideo;
use super::collect::Collected;
use crate::error::Result;
use crate::formats::part::{Entries, read_json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    labels: Vec<String>,
    videos: Entries<Video>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Video {
    file: Option<String>,
    part: String,
    frames: Option<usize>,
    width: Option<u32>,
    height: Option<u32>,
    tubes: Vec<Actor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Actor {
    label: String,
    #[serde(default)]
    start_frame: usize,
    boxes: Vec<[f32; 4]>,
}

/// Reads the file.
pub fn read(path: &Path) -> Result<Collected> {
    let expected = r#"{"labels": ["..."], "videos": {"ID": {"file": "...", "part": "train", "tubes": [{"label": "...", "start_frame": 0, "boxes": [[X1, Y1, X2, Y2]]}]}}}"#;
    let File { labels, videos } = read_json(path, expected)?;
    let mut collected = Collected::new(path, labels)?;
    for (id, Video { file, part, frames, width, height, tubes: actors }) in videos.0 {
        let (mut tubes, mut numbers) = (vec![], vec![]);
        for (at, Actor { label, start_frame, boxes }) in actors.into_iter().enumerate() {
            match collected.labels().iter().position(|name| *name == label) {
                Some(label) => {
                    tubes.push(Tube { label, start_frame, boxes });
                    numbers.push(at + 1);
                }
                None => {
                    let expected = collected.labels().join(", ");
                    collected
                        .doubt(&id, format!("actor {}: found the label {label:?}, expected one of {expected}", at + 1));
                }
            }
        }
        let file = file.unwrap_or_else(|| id.clone());
        let video = ActorVideo { id, media: None, frames, size: width.zip(height), tubes };
        collected.add_numbered(&part, &file, video, &numbers);
    }
    Ok(collected)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::actors::Actors;
    use crate::dataset::Media;
    use crate::formats::files::Files;

    fn load(text: &str, skip_bad: bool) -> Result<Actors> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actors.json");
        fs::write(&path, text).unwrap();
        fs::create_dir(folder.path().join("test")).unwrap();
        fs::write(folder.path().join("test/a.mp4"), "").unwrap();
        let mut files = Files::new(folder.path().to_path_buf()).unwrap();
        read(&path)?.finish(Some(&mut files), skip_bad)
    }

    #[test]
    fn videos_are_read_with_their_actors() {
        let text = r#"{"labels": ["Bow", "Wave"], "videos": {
            "b": {"part": "train", "tubes": []},
            "a": {"file": "test/a.mp4", "part": "test", "frames": 9, "width": 64, "height": 48,
                  "tubes": [{"label": "Wave", "start_frame": 3, "boxes": [[1, 2, 10.5, 20], [1, 2, 11, 20]]}]}}}"#;
        let found = load(text, false).unwrap();
        let names: Vec<&str> = found.parts.iter().map(|part| &*part.name).collect();
        assert_eq!((names, &*found.labels), (vec!["train", "test"], &["Bow".to_string(), "Wave".into()][..]));
        let video = &found.part("test").unwrap().videos[0];
        assert_eq!((&*video.id, video.frames, video.size), ("a", Some(9), Some((64, 48))));
        assert!(matches!(&video.media, Some(Media::Video(path)) if path.ends_with("test/a.mp4")));
        let boxes = vec![[1.0, 2.0, 10.5, 20.0], [1.0, 2.0, 11.0, 20.0]];
        assert_eq!(video.tubes, [Tube { label: 1, start_frame: 3, boxes }]);
        assert_eq!(found.parts[0].missing, ["b"]);
    }

    #[test]
    fn what_cannot_be_right_is_refused_or_left_out() {
        let text = r#"{"labels": ["Bow"], "videos": {
            "a": {"part": "test", "frames": 2, "tubes": [{"label": "Wave", "boxes": [[0, 0, 1, 1]]},
                  {"label": "Bow", "boxes": [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]}]}}}"#;
        let error = load(text, false).unwrap_err().to_string();
        assert!(error.contains("a: actor 1: found the label \"Wave\", expected one of Bow (and 1 more"), "{error}");
        let found = load(text, true).unwrap();
        assert_eq!((found.skipped.len(), found.parts[0].videos[0].tubes.len()), (2, 1));
        // By its number in the file.
        let second = &found.skipped[1].problem;
        assert!(second.starts_with("actor 2 (Bow): "), "{second}");
        assert_eq!(found.parts[0].videos[0].tubes[0].boxes.len(), 2);
        let error = load(r#"{"labels": ["Bow"], "videos": {"a": {"tubes": []}}}"#, false).unwrap_err().to_string();
        assert!(error.contains("missing field `part`") && error.contains("expected {\"labels\""), "{error}");
        assert!(load(r#"{"labels": ["Bow"], "videos": {}}"#, false).unwrap_err().to_string().contains("no video"));
    }
}
