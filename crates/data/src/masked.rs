//! The videos in which people can be masked out: those that show somebody most of the time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::cache::{Cache, CacheKind, Found};
use crate::clip::{ClipForm, Sample};
use crate::dataset::Item;
use crate::error::{DataError, Result};
use crate::loader::Change;
use crate::mask::{Fill, mask_people};
use crate::people::People;

/// Videos with people, and how to take them out.
pub struct MaskedPeople {
    /// Videos with somebody in enough of their frames.
    pub items: Vec<Item>,
    /// The others.
    pub left_out: usize,
    people: Arc<HashMap<String, People>>,
}

/// Chooses the videos with somebody in at least `min_share` of the frames, with a score of at least `min_score`.
///
/// # Errors
/// When the cache cannot be read or was made for other videos, or there is nobody in any video.
pub fn masked_people(cache: &Path, items: &[Item], min_score: f32, min_share: f64) -> Result<MaskedPeople> {
    let opened = Cache::open(cache, CacheKind::People)?;
    let mut people = HashMap::new();
    let mut chosen = Vec::new();
    for (item, annotation) in items.iter().zip(opened.read(items)?) {
        let Some(Found::People(frames)) = annotation.map(|annotation| annotation.found) else { continue };
        let found = People::new(frames, min_score);
        if found.share_of_frames() >= min_share {
            people.insert(item.id.clone(), found);
            chosen.push(item.clone());
        }
    }
    if chosen.is_empty() {
        let problem = format!(
            "{}: in none of {} videos is somebody in at least {:.0} % of the frames with a score of {min_score}; lower \
             min_share or min_score, or look at `unscene annotate preview`",
            cache.display(),
            items.len(),
            min_share * 100.0
        );
        return Err(DataError::Options { problem });
    }
    Ok(MaskedPeople { left_out: items.len() - chosen.len(), items: chosen, people: Arc::new(people) })
}

impl MaskedPeople {
    /// What a loader does to samples to take people out.
    pub fn change(&self, form: &ClipForm, fill: &Fill) -> Arc<Change> {
        let (people, form, fill) = (self.people.clone(), form.clone(), fill.clone());
        Arc::new(move |item: &Item, sample: &mut Sample| match people.get(&item.id) {
            Some(people) => mask_people(sample, people, item, &form, &fill),
            None => Ok(()),
        })
    }
}
