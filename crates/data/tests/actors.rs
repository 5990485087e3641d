//! The forms in which datasets of actors are shared, and the real file of UCF101-24 where it is there.

use std::path::{Path, PathBuf};

use unscene_data::actors::{ActorFormat, ActorPart, ActorSpec, Actors};
use unscene_vision::Tube;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/actors").join(name)
}

fn load(format: ActorFormat, annotations: PathBuf, split: u32) -> Result<Actors, String> {
    let spec = ActorSpec { format, annotations, videos: None, split, skip_bad: false };
    spec.load().map_err(|error| error.to_string())
}

fn ids(part: &ActorPart) -> Vec<&str> {
    part.videos.iter().map(|video| &*video.id).collect()
}

/// What `make.py` calls `walk`, as corners.
fn walk(frames: usize) -> Vec<[f32; 4]> {
    (0..frames).map(|n| [10.0 + n as f32, 20.0, 40.0 + n as f32, 80.0]).collect()
}

#[test]
fn ucf24_is_read_as_it_is_shared() {
    let found = load(ActorFormat::Ucf24, fixture(""), 1).unwrap();
    assert_eq!(found.labels, ["Basketball", "Biking"]);
    let [train, test] = &found.parts[..] else { panic!("{:?}", found.parts) };
    assert_eq!((&*train.name, &*test.name), ("train", "test"));
    assert_eq!(ids(train), ["Basketball/v_Basketball_g08_c01"]);
    assert_eq!(ids(test), ["Basketball/v_Basketball_g09_c01", "Biking/v_Biking_g01_c01"]);
    let video = &test.videos[1];
    assert_eq!((video.frames, video.size), (Some(9), Some((320, 240))));
    let wide = vec![[300.0, 100.0, 320.0, 140.0], [298.0, 100.0, 318.0, 140.0]];
    let expected = [Tube { label: 1, start_frame: 2, boxes: walk(5) }, Tube { label: 1, start_frame: 0, boxes: wide }];
    assert_eq!(video.tubes, expected);
    assert!(test.videos[0].tubes.is_empty());
    let error = load(ActorFormat::Ucf24, fixture(""), 2).unwrap_err();
    assert!(error.contains("testlist02.txt: there is no such list"), "{error}");
    let error = load(ActorFormat::Ucf24, fixture("make.py"), 1).unwrap_err();
    assert!(error.contains("make.py: "), "{error}");
    let error = load(ActorFormat::Ucf24, fixture("gttubes.pkl"), 1).unwrap_err();
    assert!(error.contains("expected CLASS/VIDEO"), "{error}");
}

#[test]
fn jhmdb_is_read_as_it_is_shared() {
    let found = load(ActorFormat::Gttubes, fixture("gttubes.pkl"), 1).unwrap();
    assert_eq!(found.labels, ["brush_hair", "catch"]);
    let [train, test] = &found.parts[..] else { panic!("{:?}", found.parts) };
    assert_eq!((ids(train), ids(test)), (vec!["brush_hair/a"], vec!["catch/b"]));
    let video = &test.videos[0];
    assert_eq!((video.frames, video.size), (Some(9), Some((320, 240))));
    let expected =
        [Tube { label: 1, start_frame: 2, boxes: walk(5) }, Tube { label: 1, start_frame: 0, boxes: walk(2) }];
    assert_eq!(video.tubes, expected);
    let second = load(ActorFormat::Gttubes, fixture("gttubes.pkl"), 2).unwrap();
    assert_eq!(ids(second.part("test").unwrap()), ["brush_hair/a"]);
    for split in [0, 3] {
        let error = load(ActorFormat::Gttubes, fixture("gttubes.pkl"), split).unwrap_err();
        assert!(error.contains(&format!("found 2 splits, expected one of the number {split}")), "{error}");
    }
    let error = load(ActorFormat::Gttubes, fixture("pyannot.pkl"), 1).unwrap_err();
    assert!(error.contains("it has no \"labels\""), "{error}");
}

#[test]
fn masks_of_jhmdb_become_boxes() {
    let split = |split, skip_bad| {
        let (format, annotations) = (ActorFormat::Jhmdb, fixture("jhmdb"));
        ActorSpec { format, annotations, videos: None, split, skip_bad }.load().map_err(|error| error.to_string())
    };
    // What `make_mat.py` draws.
    let square = |frames: std::ops::Range<usize>| {
        let boxes = frames.clone().map(|n| [2.0 + n as f32, 4.0, 9.0 + n as f32, 10.0]);
        Tube { label: 0, start_frame: frames.start, boxes: boxes.collect() }
    };
    let error = split(1, false).unwrap_err();
    assert!(error.contains("catch/c: actor 1 (catch): 1 of 6 boxes have no area, the first in frame 3"), "{error}");
    let found = split(1, true).unwrap();
    assert_eq!((&found.labels[..], found.skipped.len()), (&["catch".to_string(), "wave".into()][..], 1));
    let [train, test] = &found.parts[..] else { panic!("{:?}", found.parts) };
    assert_eq!((ids(train), ids(test)), (vec!["catch/b"], vec!["catch/c", "wave/a"]));
    let video = &train.videos[0];
    assert_eq!((video.frames, video.size), (Some(5), Some((32, 24))));
    assert_eq!(video.tubes, [square(0..5)]);
    assert_eq!(test.videos[0].tubes, [square(0..3), square(4..6)]);
    assert_eq!(test.videos[1].tubes, [Tube { label: 1, ..square(0..4) }]);

    let error = split(2, false).unwrap_err();
    assert!(error.contains("wave/lost: puppet_mask.mat: No such file"), "{error}");
    let found = split(2, true).unwrap();
    assert_eq!((found.parts.len(), ids(&found.parts[1]), found.skipped.len()), (2, vec!["catch/b"], 1));
    assert!(split(3, false).unwrap_err().contains("found no file named CLASS_test_split3.txt"));
    let error = load(ActorFormat::Jhmdb, fixture(""), 1).unwrap_err();
    assert!(error.contains("splits: there is no such folder; unpack"), "{error}");
}

/// 3,194 videos, 573,862 boxes, counted by a script of its own; not one of them is wrong.
#[test]
fn the_real_ucf24_is_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/formats/ucf24");
    if !folder.exists() {
        eprintln!("not tested: {} is not there", folder.display());
        return;
    }
    let found = load(ActorFormat::Ucf24, folder, 1).unwrap();
    assert_eq!((found.labels.len(), &*found.labels[0], &*found.labels[23]), (24, "Basketball", "WalkingWithDog"));
    let counts: Vec<usize> = found.parts.iter().map(|part| part.videos.len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 3194);
    assert_eq!(found.part("test").unwrap().videos.len(), 910);
    let tubes = found.parts.iter().flat_map(|part| &part.videos).flat_map(|video| &video.tubes);
    let (tubes, boxes) = tubes.fold((0, 0), |(tubes, boxes), tube| (tubes + 1, boxes + tube.boxes.len()));
    assert_eq!((tubes, boxes), (4458, 573_862));
}
