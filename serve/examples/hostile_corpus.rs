//! Writes the hostile corpus that the tests send into a folder, for other uses:
//!
//!     cargo run -p unscene-serve --example hostile_corpus -- FOLDER [SEED]

#[path = "../tests/http/corpus/mod.rs"]
mod corpus;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let seed = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    fs::create_dir_all(&folder)?;
    let bait =
        corpus::Bait { file: folder.canonicalize()?.join("bait.mp4"), url: "http://127.0.0.1:9/bait.mp4".into() };
    let mut count = 0;
    for (name, data) in corpus::good().into_iter().chain(corpus::corpus(seed, &bait)) {
        fs::write(folder.join(name), data)?;
        count += 1;
    }
    println!("{count} files in {}", folder.display());
    Ok(())
}
