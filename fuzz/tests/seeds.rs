//! Every target with its seeds, and with what chance makes of them: that the targets work, and that the parsers hold, is known without
//! cargo-fuzz, too.

use std::fs;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use unscene_fuzz::{TARGETS, run_if_worker};

/// Files that are made of each seed, where the command line has no other number; fewer where each starts a process or is sent to a
/// service.
const OF_EACH: usize = 300;
const OF_EACH_SLOW: usize = 20;

fn main() {
    run_if_worker();
    // `cargo test -- NAME... NUMBER`: these targets, and so many of each.
    let (numbers, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).partition(|word| word.parse::<usize>().is_ok());
    let number = numbers.last().and_then(|number| number.parse().ok());
    for (name, target) in TARGETS.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|one| one == name)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let seeds = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<_> = seeds.map(|seed| seed.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{name} has no seeds");
        let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        let is_slow = ["worker_answers", "request", "scene_files"].contains(name);
        let of_each = number.unwrap_or(if is_slow { OF_EACH_SLOW } else { OF_EACH });
        let mut rng = Pcg64::seed_from_u64(1);
        for seed in &seeds {
            target(seed);
            for _ in 0..of_each {
                let other = &seeds[rng.random_range(0..seeds.len())];
                target(&changed(&mut rng, seed, other));
            }
        }
        println!("{name}: {} seeds, {} made of them", seeds.len(), seeds.len() * of_each);
    }
}

/// A seed with some bytes changed, gone, twice, or of another.
fn changed(rng: &mut Pcg64, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let start = rng.random_range(0..=data.len());
        let end = (start + rng.random_range(1..=16)).min(data.len());
        match rng.random_range(0..5) {
            0 => data[start..end].iter_mut().for_each(|byte| *byte = rng.random()),
            1 => data[start..end].iter_mut().for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
            2 => drop(data.drain(start..end)),
            3 => {
                let copy = data[start..end].repeat(rng.random_range(1..=8));
                data.splice(start..start, copy);
            }
            _ => {
                let from = rng.random_range(0..=other.len());
                data.truncate(start);
                data.extend_from_slice(&other[from..]);
            }
        }
    }
    data
}
