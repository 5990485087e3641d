//! What pretraining reads: labels of protected attributes, and the stream of masked clips.

use tch::Tensor;
use unscene_data::{Cache, CacheKind, Found, Item, Loader, LoaderOptions, masked_people};

use super::config::{AdversarySpec, ConfusionSpec};
use crate::TrainError;

/// Every label needs a video.
pub(super) fn check_labels(labels: &[String], items: &[Item]) -> Result<(), TrainError> {
    let mut counts = vec![0; labels.len()];
    items.iter().for_each(|item| counts[item.label] += 1);
    let empty: Vec<&str> =
        labels.iter().zip(&counts).filter(|(_, n)| **n == 0).map(|(label, _)| label.as_str()).collect();
    if empty.is_empty() {
        return Ok(());
    }
    let (count, first) = (empty.len(), empty[0]);
    Err(TrainError::Data(format!(
        "{count} labels have no video to train on, {first:?} for one; `unscene data check` says more"
    )))
}

/// The distributions of all items, one row each.
pub(super) fn read_attributes(spec: &AdversarySpec, items: &[Item]) -> Result<(usize, Tensor), TrainError> {
    let cache = Cache::open(&spec.cache, CacheKind::Scenes)?;
    let classes = cache.labels().len();
    let mut rows = vec![0f32; items.len() * classes];
    let found = cache.read(items)?;
    for (annotation, row) in found.into_iter().zip(rows.chunks_exact_mut(classes.max(1))) {
        match annotation.map(|annotation| annotation.found) {
            Some(Found::Scenes(scores)) if spec.hard => {
                let top = (0..classes).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
                row[top] = 1.0;
            }
            Some(Found::Scenes(scores)) => row.copy_from_slice(&scores),
            // A video that the classifier could not read teaches the adversary nothing.
            _ => row.fill(1.0 / classes as f32),
        }
    }
    Ok((classes, Tensor::from_slice(&rows).f_reshape([items.len() as i64, classes as i64])?))
}

/// The videos with somebody in enough of their frames, repeated until they are as many as all.
pub(super) fn masked_loader(
    spec: &ConfusionSpec,
    items: &[Item],
    options: &LoaderOptions,
) -> Result<Loader, TrainError> {
    let masked = masked_people(&spec.people, items, spec.min_score, spec.min_share)?;
    let repeated: Vec<Item> = masked.items.iter().cycle().take(items.len()).cloned().collect();
    let change = Some(masked.change(&options.form, &spec.fill));
    // Other clips than the ordinary stream has at the same time.
    let seed = options.seed ^ 0x6d61_736b;
    Ok(Loader::new(repeated, LoaderOptions { change, seed, ..options.clone() })?)
}
