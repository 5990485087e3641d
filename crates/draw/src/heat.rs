//! Heat over a picture: how much of something there is where.

/// How much of the picture is covered where the heat is greatest.
const COVER: f32 = 0.6;

/// Lays heat over a picture: what is 0 or less leaves it as it is, `peak` is red.
///
/// # Shapes
/// `rgb` has three bytes for each value of `heat`.
pub fn heat_over(rgb: &[u8], heat: &[f32], peak: f32) -> Vec<u8> {
    let mut out = Vec::with_capacity(rgb.len());
    for (pixel, &value) in rgb.chunks_exact(3).zip(heat) {
        let share = if peak > 0.0 { (value / peak).clamp(0.0, 1.0) } else { 0.0 };
        // The scale from blue to red; its dark ends, which would say "nothing" and hide the picture, are left out.
        let hot = colorous::TURBO.eval_continuous(0.1 + 0.8 * f64::from(share)).as_array();
        let cover = COVER * share.sqrt();
        for (below, above) in pixel.iter().zip(hot) {
            out.push((f32::from(*below) * (1.0 - cover) + f32::from(above) * cover).round() as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_colours_what_it_covers() {
        let grey = [100; 9];
        let found = heat_over(&grey, &[-1.0, 0.2, 2.0], 2.0);
        assert_eq!(found[..3], [100; 3]);
        // A little is blue or green, the peak red.
        assert!(found[4].max(found[5]) > found[3], "{found:?}");
        assert!(found[6] > 150 && found[8] < 80, "{found:?}");
        assert_eq!(heat_over(&grey, &[0.0; 3], 0.0), grey);
    }
}
