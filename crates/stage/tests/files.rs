//! A small set on disk: what is there, that it is the same each time, and that nothing is lost on the way.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use unscene_media::{DecodeOptions, Decoder, Source};
use unscene_stage::{Plan, Preset, Scene, Settings, Split, StageError, write};

fn plan(seed: u64) -> Plan {
    Plan::new(Settings { seed, videos: [20, 10, 0, 10, 0], ..Preset::Tiny.settings() }).unwrap()
}

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Every file below a folder, by its path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Names of files that only one side has, or that differ. Of videos only the name counts: x264 now and then spends a
/// few bytes more or less on the same pixels.
fn differing<'a>(a: &'a BTreeMap<String, Vec<u8>>, b: &'a BTreeMap<String, Vec<u8>>) -> Vec<&'a str> {
    let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
    let differ = |name: &&String| match name.ends_with(".mp4") {
        true => a.contains_key(*name) != b.contains_key(*name),
        false => a.get(*name) != b.get(*name),
    };
    names.filter(differ).map(String::as_str).collect()
}

#[test]
fn a_set_is_whole_and_the_same_seed_makes_the_same_lists_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b, other] = ["a", "b", "c"].map(|name| folder.path().join(name));
    let report = write(&plan(3), &a, &go_on).unwrap();
    write(&plan(3), &b, &go_on).unwrap();
    write(&plan(4), &other, &go_on).unwrap();
    let (a_files, b_files, other) = (files(&a), files(&b), files(&other));
    assert_eq!(differing(&a_files, &b_files), Vec::<&str>::new(), "two sets of one seed differ");
    assert_ne!(a_files["contact_sheet.png"], other["contact_sheet.png"]);

    assert_eq!(report.frames, 40 * 18);
    assert_eq!(report.pictures, 14 * 50);
    // Two videos of each action: 0.9 of two is nearer to two.
    assert_eq!(report.splits[0].in_own_scene, 1.0);
    assert!(
        !a_files.keys().any(|name| name.contains("partial") || name.contains("unfinished")),
        "{:?}",
        a_files.keys()
    );
    let lines = |name: &str| String::from_utf8(a_files[name].clone()).unwrap().lines().count();
    assert_eq!([lines("train.csv"), lines("val.csv"), lines("swapped.csv")], [21, 11, 11]);
    // There is nothing to test on in scenes as biased as training.
    assert!(!a_files.contains_key("iid.csv") && !a_files.contains_key("ucf101/testlist01.txt"));
    assert_eq!([lines("scenes.csv"), lines("boxes.csv")], [41, 40 * 18 + 1]);
    assert_eq!(
        [lines("ucf101/classInd.txt"), lines("ucf101/trainlist02.txt"), lines("ucf101/testlist02.txt")],
        [10, 20, 10]
    );
    assert_eq!([lines("pictures/train.csv"), lines("pictures/val.csv")], [1 + 14 * 40, 1 + 14 * 10]);
}

#[test]
fn the_same_seed_gives_the_same_pixels() {
    let pixels = |seed| {
        let plan = plan(seed);
        let mut pixels = Vec::new();
        for video in plan.videos.iter().step_by(3) {
            let keep = |rgb: &[u8], _| -> Result<(), StageError> {
                pixels.extend_from_slice(rgb);
                Ok(())
            };
            unscene_stage::render(&video.take, &plan.settings.format, seed, true, keep).unwrap();
        }
        pixels
    };
    let first = pixels(3);
    assert_eq!(first.len(), 14 * 18 * 64 * 48 * 3);
    assert!(first == pixels(3), "the same seed");
    assert!(first != pixels(4), "another seed");
}

#[test]
fn videos_listed_can_be_read_and_hold_their_frames() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    write(&plan(1), &out, &go_on).unwrap();
    let mut reader = csv::Reader::from_path(out.join("swapped.csv")).unwrap();
    let rows: Vec<(String, String)> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 10);
    for (path, label) in rows {
        assert!(path.contains(&format!("/{label}/")), "{path} is labelled {label}");
        let mut decoder = Decoder::open(&Source::Path(out.join(path)), &DecodeOptions::default()).unwrap();
        let mut rgb = vec![0; decoder.frame_bytes()];
        let mut frames = 0;
        while decoder.next_frame(&mut rgb).unwrap().is_some() {
            frames += 1;
        }
        assert_eq!((frames, decoder.frame_size()), (18, (64, 48)));
    }
}

#[test]
fn a_set_that_was_stopped_goes_on_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    write(&plan(2), &whole, &go_on).unwrap();
    let stop = |done: usize| if done >= 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let Err(StageError::Interrupted { done, of: 40 }) = write(&plan(2), &stopped, &stop) else { panic!("not stopped") };
    assert!((7..20).contains(&done), "{done}");
    assert!(!stopped.join("stage.json").exists());
    // Another set may not be mixed in.
    let error = write(&plan(9), &stopped, &go_on).unwrap_err().to_string();
    assert!(error.contains("unfinished set of other settings"), "{error}");
    let report = write(&plan(2), &stopped, &go_on).unwrap();
    assert!(report.kept >= done, "{} kept of {done}", report.kept);
    assert_eq!(differing(&files(&whole), &files(&stopped)), Vec::<&str>::new(), "going on made other files");
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    let error = write(&plan(1), folder.path(), &go_on).unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn scenes_look_different_and_their_views_too() {
    let view = |scene, view| unscene_stage::backdrop(scene, view, 0, 64, 48);
    let mean_difference =
        |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64;
    let scenes: Vec<Scene> = Scene::all().collect();
    for (index, &a) in scenes.iter().enumerate() {
        assert_eq!(view(a, 0), view(a, 0));
        assert!(mean_difference(&view(a, 0), &view(a, 1)) > 3.0, "views of {} are alike", a.name());
        for &b in &scenes[index + 1..] {
            assert!(mean_difference(&view(a, 0), &view(b, 0)) > 12.0, "{} and {} are alike", a.name(), b.name());
        }
    }
    assert_eq!(Split::ALL.len(), 5);
}

#[test]
fn empty_videos_differ_only_where_the_person_is() {
    let plan = plan(5);
    let frames = |with_person| {
        let mut frames: Vec<(Vec<u8>, [f32; 4])> = Vec::new();
        let Ok(()) =
            unscene_stage::render(&plan.videos[3].take, &plan.settings.format, 5, with_person, |rgb, person| {
                frames.push((rgb.to_vec(), person));
                Ok::<_, std::convert::Infallible>(())
            });
        frames
    };
    let mut inside = 0;
    for ((with, person), (without, nobody)) in frames(true).iter().zip(frames(false)) {
        assert_eq!(nobody, [0.0; 4]);
        for (at, (a, b)) in with.chunks_exact(3).zip(without.chunks_exact(3)).enumerate() {
            let (x, y) = ((at % 64) as f32, (at / 64) as f32);
            // The shadow lies at the feet, a little beyond the box.
            let is_near = x + 8.0 > person[0] && x < person[2] + 8.0 && y + 8.0 > person[1] && y < person[3] + 8.0;
            assert!(a == b || is_near, "({x}, {y}) of {person:?}");
            inside += usize::from(a != b);
        }
    }
    assert!(inside > 18 * 100, "{inside} pixels of a person");

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let mut settings = plan.settings.clone();
    settings.empty = true;
    write(&Plan::new(settings).unwrap(), &out, &go_on).unwrap();
    let list = std::fs::read_to_string(out.join("empty/swapped.csv")).unwrap();
    assert_eq!(list, std::fs::read_to_string(out.join("swapped.csv")).unwrap());
    for line in list.lines().skip(1) {
        assert!(out.join("empty").join(line.split(',').next().unwrap()).is_file(), "{line}");
    }
}
