//! What Python writes.

use std::path::Path;

use unscene_annotate::{ImportOptions, import};
use unscene_data::{CacheKind, Item, Media, Span};
use unscene_pickle::Pickle;
use unscene_pickle::numpy::{array, objects, read_npy, text};

use crate::scratch;

/// A pickle, bare or in an `.npy` file, and all that its objects can stand for.
pub fn pickle(data: &[u8]) {
    let bare = Pickle::read(&mut &data[..]).ok();
    for pickle in bare.into_iter().chain(read_npy(data).ok().map(|(pickle, _)| pickle)) {
        for id in 0..pickle.objects().count() {
            let found = array(&pickle, id);
            assert!(found.is_none_or(|found| found.values.len() == found.shape.iter().product::<usize>()));
            let _ = (text(&pickle, id), objects(&pickle, id), pickle.entry(id, "probs"));
        }
    }
}

/// What the paper's release found in videos; the first byte says scenes or people.
pub fn scene_files(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let path = scratch::file("found.npy", data);
    let kind = if first % 2 == 0 { CacheKind::Scenes } else { CacheKind::People };
    let video = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/video/h264.mp4");
    let item = Item { id: "wave/a".into(), media: Media::Video(video), span: Span::Whole, label: 0 };
    let labels = ["wood", "lake", "room"].map(str::to_string).to_vec();
    let options = ImportOptions { labels, picture_height: Some(240), max_failed: 1.0 };
    let out = path.with_file_name("found.sqlite");
    let _ = import(kind, &[path], &[item], &["wave".into()], &options, &out);
}
