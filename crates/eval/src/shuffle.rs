//! A control: clips whose frames are in a random order. Actions that are each other backwards can then not be told apart.

use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use unscene_data::{Change, Item, Sample};

/// Puts the frames of each clip in an order that depends on `seed` and the clip's first moment alone. Times move along, so that
/// masking still knows which frame it looks at.
pub fn shuffle_frames(seed: u64) -> Arc<Change> {
    Arc::new(move |_: &Item, sample: &mut Sample| {
        let frames = sample.times_s.len();
        let first_ms = (sample.times_s.first().copied().unwrap_or(0.0) * 1e3) as u64;
        let mut order: Vec<usize> = (0..frames).collect();
        order.shuffle(&mut Pcg64::seed_from_u64(seed ^ (first_ms << 20)));
        let bytes = sample.rgb.len() / frames.max(1);
        let frame = |at: usize| &sample.rgb[at * bytes..(at + 1) * bytes];
        let rgb = order.iter().flat_map(|&at| frame(at)).copied().collect();
        sample.times_s = order.iter().map(|&at| sample.times_s[at]).collect();
        sample.rgb = rgb;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use unscene_data::{Media, Span};
    use unscene_media::Region;

    use super::*;

    #[test]
    fn frames_and_their_times_move_together() {
        let part = Region { x: 0, y: 0, width: 1, height: 1 };
        let rgb = (0..8).flat_map(|frame| [frame; 3]).collect();
        let times_s = (0..8).map(f64::from).collect();
        let mut sample = Sample { rgb, times_s, part, mirror: false, picture_size: (1, 1) };
        let before = sample.clone();
        let item = Item { id: "a".into(), media: Media::Video("a".into()), span: Span::Whole, label: 0 };
        shuffle_frames(1)(&item, &mut sample).unwrap();
        assert_ne!(sample, before);
        assert!(sample.rgb.chunks(3).zip(&sample.times_s).all(|(pixel, time_s)| f64::from(pixel[0]) == *time_s));
        let mut sorted = sample.times_s.clone();
        sorted.sort_by(f64::total_cmp);
        assert_eq!(sorted, before.times_s);
        let mut again = before;
        shuffle_frames(1)(&item, &mut again).unwrap();
        assert_eq!(again, sample);
    }
}
