//! Things that stand in several kinds of places, and textures.

use rand::{Rng, RngExt};

use unscene_draw::{Canvas, Rgb};

/// A colour near another.
pub fn near(rng: &mut impl Rng, color: Rgb, spread: f32) -> Rgb {
    let all = rng.random_range(-spread..spread);
    color.map(|channel| (channel + all + rng.random_range(-0.4 * spread..0.4 * spread)).clamp(0.0, 1.0))
}

pub fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    [0, 1, 2].map(|channel| a[channel] + (b[channel] - a[channel]) * share)
}

/// Small spots all over a band of the picture: sand, leaves, snow.
pub fn speckle(
    canvas: &mut Canvas,
    rng: &mut impl Rng,
    (top, bottom): (f32, f32),
    count: usize,
    size: f32,
    color: Rgb,
) {
    for _ in 0..count {
        let (x, y) = (rng.random_range(0.0..canvas.width()), rng.random_range(top..bottom));
        // Smaller towards the horizon.
        let size = size * (0.4 + 0.9 * (y - top) / (bottom - top)) * rng.random_range(0.5..1.5);
        let color = near(rng, color, 0.08);
        canvas.ellipse_alpha(x, y, size, size * rng.random_range(0.3..0.8), color, rng.random_range(0.3..0.8));
    }
}

/// Upright strokes: grass, reeds.
pub fn grass(
    canvas: &mut Canvas,
    rng: &mut impl Rng,
    (top, bottom): (f32, f32),
    count: usize,
    height: f32,
    color: Rgb,
) {
    let mut feet: Vec<f32> = (0..count).map(|_| rng.random_range(top..bottom)).collect();
    feet.sort_by(f32::total_cmp);
    for y in feet {
        let x = rng.random_range(0.0..canvas.width());
        let height = height * (0.4 + 0.8 * (y - top) / (bottom - top)) * rng.random_range(0.5..1.4);
        let lean = rng.random_range(-0.4..0.4) * height;
        let color = near(rng, color, 0.1);
        canvas.line(&[(x, y), (x + lean, y - height)], 0.006, color);
    }
}

/// Floorboards or tiles in perspective: lines towards a vanishing point and across.
pub fn floor(canvas: &mut Canvas, rng: &mut impl Rng, top: f32, color: Rgb, lines: usize, across: usize) {
    let width = canvas.width();
    canvas.gradient(top, 1.0 - top, color.map(|channel| channel * 0.8), color);
    let dark = color.map(|channel| channel * 0.72);
    let vanish = rng.random_range(0.3..0.7) * width;
    for index in 0..=lines {
        let x = (index as f32 / lines as f32 - 0.5) * 5.0 * width + vanish;
        canvas.line(&[(vanish + (x - vanish) * 0.22, top), (x, 1.0)], 0.005, dark);
    }
    for index in 0..across {
        let y = top + (1.0 - top) * ((index as f32 + 0.5) / across as f32).powf(1.8);
        canvas.line(&[(0.0, y), (width, y)], 0.004, dark);
    }
}

pub fn cloud(canvas: &mut Canvas, rng: &mut impl Rng, x: f32, y: f32, size: f32, color: Rgb) {
    for _ in 0..6 {
        let (dx, dy) = (rng.random_range(-1.0..1.0) * size, rng.random_range(-0.25..0.25) * size);
        let radius = rng.random_range(0.3..0.55) * size;
        canvas.ellipse_alpha(x + dx, y + dy, radius * 1.4, radius * 0.6, color, 0.55);
    }
}

/// A tree with a round crown.
pub fn tree(canvas: &mut Canvas, rng: &mut impl Rng, x: f32, ground: f32, height: f32, leaves: Rgb) {
    let trunk = near(rng, [0.36, 0.25, 0.16], 0.06);
    canvas.polygon(
        &[
            (x - 0.05 * height, ground),
            (x - 0.025 * height, ground - 0.6 * height),
            (x + 0.025 * height, ground - 0.6 * height),
            (x + 0.05 * height, ground),
        ],
        trunk,
    );
    for _ in 0..14 {
        let (dx, dy) = (rng.random_range(-0.26..0.26) * height, rng.random_range(-0.3..0.22) * height);
        let color = near(rng, leaves, 0.09);
        let radius = rng.random_range(0.1..0.2) * height;
        canvas.ellipse(x + dx, ground - 0.72 * height + dy, radius, radius * 0.8, color);
    }
}

/// A tree in the form of stacked triangles.
pub fn fir(canvas: &mut Canvas, rng: &mut impl Rng, x: f32, ground: f32, height: f32, color: Rgb, snow: bool) {
    canvas.rect(x - 0.03 * height, ground - 0.15 * height, 0.06 * height, 0.15 * height, [0.3, 0.2, 0.13]);
    for level in 0..4 {
        let low = ground - (0.1 + 0.22 * level as f32) * height;
        let half = (0.3 - 0.06 * level as f32) * height;
        let peak = (x, low - 0.36 * height);
        let color = near(rng, color, 0.05);
        canvas.polygon(&[(x - half, low), peak, (x + half, low)], color);
        if snow {
            let white = [0.95, 0.97, 1.0];
            canvas.polygon(&[(x - half * 0.5, low - 0.18 * height), peak, (x + half * 0.4, low - 0.2 * height)], white);
        }
    }
}

/// A ridge of hills or mountains from side to side.
pub fn ridge(canvas: &mut Canvas, rng: &mut impl Rng, base: f32, height: f32, steps: usize, color: Rgb) {
    let width = canvas.width();
    let mut points = vec![(0.0, 1.0)];
    for step in 0..=steps {
        let x = width * step as f32 / steps as f32;
        points.push((x, base - height * rng.random_range(0.15..1.0)));
    }
    points.push((width, 1.0));
    canvas.polygon(&points, color);
}

/// A grid of lit or dark panes.
pub fn panes(
    canvas: &mut Canvas,
    rng: &mut impl Rng,
    [x, y, width, height]: [f32; 4],
    (columns, rows): (usize, usize),
    colors: [Rgb; 2],
) {
    let (w, h) = (width / columns as f32, height / rows as f32);
    for column in 0..columns {
        for row in 0..rows {
            let color = colors[usize::from(rng.random_bool(0.3))];
            let color = near(rng, color, 0.05);
            canvas.rect(x + w * (column as f32 + 0.2), y + h * (row as f32 + 0.2), w * 0.6, h * 0.6, color);
        }
    }
}

/// A window with a view of the sky.
pub fn window(canvas: &mut Canvas, x: f32, y: f32, width: f32, height: f32, frame: Rgb) {
    canvas.rect(x, y, width, height, frame);
    let edge = 0.012;
    canvas.gradient_rect(
        x + edge,
        y + edge,
        width - 2.0 * edge,
        height - 2.0 * edge,
        [0.55, 0.75, 0.95],
        [0.85, 0.92, 0.97],
    );
    canvas.line(&[(x + width / 2.0, y), (x + width / 2.0, y + height)], 0.008, frame);
    canvas.line(&[(x, y + height / 2.0), (x + width, y + height / 2.0)], 0.008, frame);
}

/// Shelves full of upright books or boxes.
pub fn shelf(canvas: &mut Canvas, rng: &mut impl Rng, [x, y, width, height]: [f32; 4], rows: usize, wood: Rgb) {
    canvas.rect(x, y, width, height, wood.map(|channel| channel * 0.55));
    let step = height / rows as f32;
    for row in 0..rows {
        let bottom = y + step * (row as f32 + 0.9);
        let mut left = x + 0.012;
        while left < x + width - 0.03 {
            let wide = rng.random_range(0.012..0.034);
            let tall = step * rng.random_range(0.5..0.78);
            if rng.random_bool(0.9) {
                let hue = rng.random_range(0.0..1.0);
                let color = crate::figure::hsv(hue, rng.random_range(0.2..0.7), rng.random_range(0.25..0.75));
                canvas.rect(left, bottom - tall, wide, tall, color);
            }
            left += wide + 0.003;
        }
        canvas.rect(x, bottom, width, step * 0.1, wood);
    }
    canvas.rect(x, y, 0.012, height, wood);
    canvas.rect(x + width - 0.012, y, 0.012, height, wood);
}
