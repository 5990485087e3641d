//! A hostile corpus: files of every container that the service takes, broken and lied in, and files that are something else. The same
//! seed gives the same bytes.

mod avi;
mod matroska;
mod mp4;
mod mutate;
mod numbers;
pub mod pointers;
mod sizes;
mod strangers;
mod ts;

use std::path::{Path, PathBuf};

/// A file, by a name that says what is wrong with it.
pub type Named = (String, Vec<u8>);

/// What files point to that nobody gave to who reads them.
pub struct Bait {
    /// A file, by its whole path.
    pub file: PathBuf,
    /// An address.
    pub url: String,
}

/// All files, each by another name.
pub fn corpus(seed: u64, bait: &Bait) -> impl Iterator<Item = Named> + use<> {
    let made = [mp4::files(), matroska::files(), avi::files(), ts::files(), strangers::files(), pointers::files(bait)];
    made.into_iter().flatten().chain(mutate::mutated(seed))
}

/// Good videos made by the same code as the hostile ones, so that it is the lie that is refused.
pub fn good() -> Vec<Named> {
    [mp4::good(), matroska::good(), avi::good(), ts::good()].map(|(name, data)| (format!("good.{name}"), data)).into()
}

/// A video of the tests of all crates.
fn video(name: &str) -> Vec<u8> {
    read("../tests/fixtures/video", name)
}

/// A picture that videos are made of.
fn picture() -> Vec<u8> {
    read("tests/fixtures", "image.jpg")
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
