//! Places under the sky.

use rand::{Rng, RngExt};

use super::props::{cloud, fir, grass, mix, near, panes, ridge, speckle, tree};
use unscene_draw::{Canvas, Rgb};

fn sky(canvas: &mut Canvas, rng: &mut impl Rng, horizon: f32, top: Rgb, bottom: Rgb, clouds: usize) {
    let (top, bottom) = (near(rng, top, 0.06), near(rng, bottom, 0.05));
    canvas.gradient(0.0, horizon + 0.01, top, bottom);
    for _ in 0..clouds {
        let (x, y) = (rng.random_range(0.0..canvas.width()), rng.random_range(0.03..horizon * 0.7));
        let size = rng.random_range(0.06..0.16);
        cloud(canvas, rng, x, y, size, mix(bottom, [1.0; 3], 0.7));
    }
}

pub fn beach(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let horizon = rng.random_range(0.28..0.45);
    let shore = horizon + rng.random_range(0.14..0.28);
    let clouds = rng.random_range(0..5);
    sky(canvas, rng, horizon, [0.30, 0.60, 0.92], [0.75, 0.88, 0.97], clouds);
    let sea = near(rng, [0.08, 0.42, 0.62], 0.06);
    canvas.gradient(horizon, shore - horizon + 0.05, sea, mix(sea, [0.4, 0.85, 0.85], 0.6));
    for _ in 0..22 {
        let (x, y) = (rng.random_range(0.0..width), rng.random_range(horizon + 0.01..shore));
        canvas.line_alpha(&[(x, y), (x + rng.random_range(0.05..0.2), y)], 0.005, [0.9, 0.97, 1.0], 0.5);
    }
    let sand = near(rng, [0.90, 0.80, 0.58], 0.05);
    let tilt = rng.random_range(-0.08..0.08);
    canvas.polygon(&[(0.0, shore), (width, shore + tilt), (width, 1.0), (0.0, 1.0)], sand);
    canvas.line(&[(0.0, shore), (width * 0.5, shore + tilt * 0.4), (width, shore + tilt)], 0.018, [0.97, 0.98, 0.96]);
    speckle(canvas, rng, (shore + 0.06, 1.0), 160, 0.008, sand.map(|channel| channel * 0.82));
    if rng.random_bool(0.7) {
        let (x, y) = (rng.random_range(0.1..width - 0.1), rng.random_range(0.06..horizon * 0.5));
        canvas.ellipse(x, y, 0.05, 0.05, [1.0, 0.95, 0.7]);
    }
    for _ in 0..rng.random_range(1..4) {
        let (x, foot) = (rng.random_range(0.0..width), shore + rng.random_range(0.06..0.22));
        let size = rng.random_range(0.12..0.22);
        let color = crate::figure::hsv(rng.random_range(0.0..1.0), 0.75, 0.9);
        canvas.line(&[(x, foot), (x + 0.02, foot - size * 1.3)], 0.01, [0.9, 0.9, 0.88]);
        for slice in 0..4 {
            let (a, b) = (slice as f32 / 2.0 - 1.0, (slice as f32 + 1.0) / 2.0 - 1.0);
            let color = if slice % 2 == 0 { color } else { [0.97, 0.96, 0.93] };
            let (peak, low) = ((x + 0.02, foot - size * 1.5), foot - size * 1.05);
            canvas.polygon(&[(x + 0.02 + a * size, low), peak, (x + 0.02 + b * size, low)], color);
        }
    }
    if rng.random_bool(0.5) {
        palm(canvas, rng, shore);
    }
    if rng.random_bool(0.4) {
        let x = rng.random_range(0.1..width - 0.2);
        canvas.polygon(&[(x, horizon), (x + 0.03, horizon - 0.1), (x + 0.08, horizon)], [0.97, 0.97, 0.97]);
        canvas.polygon(
            &[(x - 0.02, horizon), (x + 0.1, horizon), (x + 0.08, horizon + 0.02), (x, horizon + 0.02)],
            [0.5, 0.2, 0.15],
        );
    }
}

fn palm(canvas: &mut Canvas, rng: &mut impl Rng, shore: f32) {
    let left = rng.random_bool(0.5);
    let x = if left { rng.random_range(0.0..0.2) } else { canvas.width() - rng.random_range(0.0..0.2) };
    let sign = if left { 1.0 } else { -1.0 };
    let top = (x + sign * 0.08, rng.random_range(0.12..0.25));
    canvas.line(&[(x, shore + 0.1), (x + sign * 0.02, 0.5), top], 0.03, [0.45, 0.32, 0.2]);
    for index in 0..8 {
        let angle = index as f32 * 0.785 + rng.random_range(-0.2..0.2);
        let (dx, dy) = (angle.cos() * 0.16, angle.sin() * 0.08);
        canvas.line(
            &[top, (top.0 + dx * 0.6, top.1 + dy - 0.03), (top.0 + dx, top.1 + dy + 0.04)],
            0.02,
            [0.15, 0.5, 0.2],
        );
    }
}

pub fn forest(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let horizon = rng.random_range(0.5..0.66);
    sky(canvas, rng, horizon, [0.45, 0.62, 0.55], [0.72, 0.82, 0.66], 0);
    let ground = near(rng, [0.25, 0.33, 0.14], 0.05);
    canvas.gradient(horizon, 1.0 - horizon, ground.map(|channel| channel * 0.7), ground);
    for layer in 0..3 {
        let depth = layer as f32 / 3.0;
        let count = rng.random_range(5..9);
        for _ in 0..count {
            let x = rng.random_range(-0.05..width + 0.05);
            let leaves = mix([0.30, 0.45, 0.30], near(rng, [0.10, 0.34, 0.10], 0.07), depth);
            let height = rng.random_range(0.45..0.75) * (0.6 + 0.7 * depth);
            if rng.random_bool(0.35) {
                fir(canvas, rng, x, horizon + 0.1 * depth, height, leaves, false);
            } else {
                tree(canvas, rng, x, horizon + 0.1 * depth, height, leaves);
            }
        }
    }
    if rng.random_bool(0.5) {
        let x = rng.random_range(0.2..0.8) * width;
        let path = near(rng, [0.48, 0.38, 0.25], 0.04);
        canvas
            .polygon(&[(x - 0.02, horizon + 0.08), (x + 0.03, horizon + 0.08), (x + 0.35, 1.0), (x - 0.3, 1.0)], path);
    }
    grass(canvas, rng, (horizon + 0.08, 1.0), 260, 0.06, [0.22, 0.42, 0.12]);
    speckle(canvas, rng, (horizon + 0.1, 1.0), 60, 0.01, [0.45, 0.32, 0.14]);
}

pub fn street(canvas: &mut Canvas, rng: &mut impl Rng, night: bool) {
    let width = canvas.width();
    let pavement = rng.random_range(0.66..0.76);
    if night {
        sky(canvas, rng, pavement, [0.02, 0.02, 0.08], [0.12, 0.10, 0.25], 0);
    } else {
        sky(canvas, rng, pavement, [0.5, 0.65, 0.82], [0.82, 0.86, 0.9], 2);
    }
    let mut x = -rng.random_range(0.0..0.2);
    while x < width {
        let wide = rng.random_range(0.18..0.36);
        let tall = rng.random_range(0.3..0.7);
        let day = [[0.62, 0.36, 0.28], [0.72, 0.66, 0.55], [0.52, 0.52, 0.55], [0.75, 0.58, 0.42]];
        let wall = day[rng.random_range(0..4)];
        let wall = near(rng, wall, 0.06);
        let wall = if night { mix(wall, [0.05, 0.05, 0.12], 0.82) } else { wall };
        let top = pavement - tall;
        canvas.rect(x, top, wide, tall, wall);
        let glass =
            if night { [[0.08, 0.08, 0.14], [0.98, 0.85, 0.45]] } else { [[0.22, 0.28, 0.34], [0.6, 0.72, 0.8]] };
        let grid = (rng.random_range(3..6), (tall / 0.09) as usize);
        panes(canvas, rng, [x + 0.01, top + 0.02, wide - 0.02, tall - 0.15], grid, glass);
        let awning = crate::figure::hsv(rng.random_range(0.0..1.0), 0.7, if night { 0.9 } else { 0.65 });
        canvas.rect(x + 0.02, pavement - 0.12, wide - 0.04, 0.03, awning);
        canvas.rect(
            x + 0.04,
            pavement - 0.09,
            wide - 0.08,
            0.09,
            if night { [0.5, 0.42, 0.3] } else { [0.2, 0.22, 0.25] },
        );
        x += wide;
    }
    let grey = near(rng, if night { [0.16, 0.16, 0.2] } else { [0.62, 0.6, 0.58] }, 0.04);
    canvas.rect(0.0, pavement, width, 0.1, grey);
    let road = near(rng, if night { [0.08, 0.08, 0.1] } else { [0.32, 0.32, 0.34] }, 0.03);
    canvas.gradient(pavement + 0.07, 1.0 - pavement - 0.07, road, road.map(|channel| channel * 0.8));
    canvas.line(&[(0.0, pavement + 0.07), (width, pavement + 0.07)], 0.012, grey.map(|channel| channel * 1.15));
    let mut x = rng.random_range(0.0..0.3);
    while x < width {
        canvas.line(&[(x, 0.93), (x + 0.12, 0.93)], 0.014, [0.85, 0.84, 0.75]);
        x += 0.28;
    }
    for _ in 0..rng.random_range(1..4) {
        car(canvas, rng, pavement + 0.1, night);
    }
    for _ in 0..rng.random_range(1..3) {
        let x = rng.random_range(0.0..width);
        canvas.line(&[(x, pavement + 0.06), (x, 0.25), (x + 0.08, 0.22)], 0.014, [0.15, 0.17, 0.18]);
        if night {
            canvas.ellipse_alpha(x + 0.08, 0.24, 0.1, 0.1, [1.0, 0.85, 0.5], 0.35);
        }
        canvas.ellipse(x + 0.08, 0.23, 0.025, 0.016, if night { [1.0, 0.95, 0.7] } else { [0.7, 0.7, 0.65] });
    }
}

fn car(canvas: &mut Canvas, rng: &mut impl Rng, ground: f32, night: bool) {
    let x = rng.random_range(-0.1..canvas.width());
    let paint =
        crate::figure::hsv(rng.random_range(0.0..1.0), rng.random_range(0.1..0.8), if night { 0.35 } else { 0.75 });
    canvas.polygon(
        &[(x + 0.06, ground - 0.09), (x + 0.11, ground - 0.15), (x + 0.24, ground - 0.15), (x + 0.29, ground - 0.09)],
        [0.25, 0.32, 0.38],
    );
    canvas.rect(x, ground - 0.1, 0.36, 0.075, paint);
    for wheel in [0.08, 0.28] {
        canvas.ellipse(x + wheel, ground - 0.025, 0.034, 0.034, [0.08, 0.08, 0.08]);
        canvas.ellipse(x + wheel, ground - 0.025, 0.015, 0.015, [0.6, 0.6, 0.6]);
    }
    if night {
        canvas.ellipse_alpha(x + 0.36, ground - 0.07, 0.05, 0.03, [1.0, 0.95, 0.7], 0.8);
    }
}

pub fn snow(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let horizon = rng.random_range(0.42..0.58);
    let clouds = rng.random_range(0..3);
    sky(canvas, rng, horizon, [0.42, 0.60, 0.85], [0.85, 0.90, 0.96], clouds);
    let rock = near(rng, [0.45, 0.52, 0.62], 0.05);
    ridge(canvas, rng, horizon, 0.34, 6, rock);
    ridge(canvas, rng, horizon + 0.02, 0.2, 9, mix(rock, [0.95, 0.97, 1.0], 0.75));
    let white = near(rng, [0.93, 0.95, 0.98], 0.02);
    canvas.gradient(horizon, 1.0 - horizon, mix(white, [0.7, 0.8, 0.95], 0.5), white);
    ridge(canvas, rng, horizon + 0.14, 0.1, 5, white.map(|channel| channel * 0.97));
    for _ in 0..rng.random_range(3..8) {
        let (x, ground) = (rng.random_range(0.0..width), horizon + rng.random_range(0.02..0.16));
        let height = rng.random_range(0.2..0.42);
        fir(canvas, rng, x, ground, height, [0.12, 0.3, 0.22], true);
    }
    if rng.random_bool(0.4) {
        let (x, y) = (rng.random_range(0.1..width - 0.3), horizon + 0.1);
        canvas.rect(x, y - 0.13, 0.22, 0.13, near(rng, [0.4, 0.26, 0.16], 0.04));
        canvas.polygon(&[(x - 0.03, y - 0.12), (x + 0.11, y - 0.23), (x + 0.25, y - 0.12)], [0.97, 0.98, 1.0]);
    }
    for _ in 0..8 {
        let y = rng.random_range(horizon + 0.2..1.0);
        let x = rng.random_range(0.0..width);
        canvas.line_alpha(&[(x, y), (x + rng.random_range(0.1..0.4), y + 0.01)], 0.012, [0.72, 0.8, 0.93], 0.6);
    }
    speckle(canvas, rng, (0.0, 1.0), 70, 0.006, [0.98, 0.98, 1.0]);
}

pub fn desert(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let horizon = rng.random_range(0.4..0.56);
    sky(canvas, rng, horizon, [0.52, 0.70, 0.88], [0.98, 0.82, 0.58], 0);
    let sand = near(rng, [0.86, 0.56, 0.30], 0.05);
    let mesa = near(rng, [0.62, 0.32, 0.20], 0.05);
    for _ in 0..rng.random_range(1..4) {
        let (x, half, tall) = (rng.random_range(0.0..width), rng.random_range(0.08..0.2), rng.random_range(0.1..0.24));
        let top = horizon - tall;
        canvas.polygon(&[(x - half * 1.3, horizon), (x - half, top), (x + half, top), (x + half * 1.4, horizon)], mesa);
        for band in 1..4 {
            let y = top + tall * band as f32 / 4.0;
            canvas.line(&[(x - half, y), (x + half, y)], 0.008, mesa.map(|channel| channel * 0.82));
        }
    }
    canvas.gradient(horizon, 1.0 - horizon, mix(sand, mesa, 0.3), sand);
    for dune in 0..4 {
        let base = horizon + 0.08 + 0.12 * dune as f32;
        let color = near(rng, sand, 0.05);
        ridge(canvas, rng, base, 0.1, 4, color);
    }
    for _ in 0..rng.random_range(1..5) {
        let (x, ground) = (rng.random_range(0.0..width), horizon + rng.random_range(0.08..0.3));
        let tall = rng.random_range(0.14..0.3);
        let green = near(rng, [0.25, 0.42, 0.2], 0.04);
        canvas.line(&[(x, ground), (x, ground - tall)], 0.035, green);
        for sign in [-1.0, 1.0] {
            let y = ground - tall * rng.random_range(0.35..0.6);
            canvas.line(&[(x, y), (x + sign * 0.05, y), (x + sign * 0.05, y - 0.08)], 0.022, green);
        }
    }
    speckle(canvas, rng, (horizon + 0.1, 1.0), 90, 0.01, mesa);
}

pub fn farm(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let horizon = rng.random_range(0.4..0.52);
    sky(canvas, rng, horizon, [0.42, 0.68, 0.92], [0.86, 0.93, 0.95], 3);
    ridge(canvas, rng, horizon, 0.08, 7, [0.38, 0.52, 0.3]);
    let crop = near(rng, [0.80, 0.70, 0.25], 0.06);
    canvas.gradient(horizon, 1.0 - horizon, crop, mix(crop, [0.35, 0.5, 0.15], 0.5));
    let vanish = rng.random_range(0.2..0.8) * width;
    for row in -9..10 {
        let x = vanish + row as f32 * 0.28;
        canvas.line(&[(vanish + row as f32 * 0.04, horizon), (x, 1.0)], 0.012, crop.map(|channel| channel * 0.72));
    }
    let x = rng.random_range(0.05..width - 0.4);
    let red = near(rng, [0.62, 0.16, 0.12], 0.04);
    canvas.rect(x, horizon - 0.16, 0.3, 0.18, red);
    canvas.polygon(
        &[(x - 0.02, horizon - 0.15), (x + 0.15, horizon - 0.3), (x + 0.32, horizon - 0.15)],
        [0.45, 0.42, 0.4],
    );
    canvas.rect(x + 0.1, horizon - 0.08, 0.1, 0.1, [0.95, 0.93, 0.9]);
    for _ in 0..3 {
        let (x, y) = (rng.random_range(0.0..width), horizon + rng.random_range(0.08..0.2));
        canvas.ellipse(x, y, 0.06, 0.05, near(rng, [0.85, 0.74, 0.4], 0.04));
    }
    let fence = horizon + rng.random_range(0.05..0.12);
    for rail in [0.0, 0.04] {
        canvas.line(&[(0.0, fence - rail), (width, fence - rail)], 0.009, [0.88, 0.86, 0.82]);
    }
    let mut x = 0.0;
    while x < width {
        canvas.line(&[(x, fence + 0.03), (x, fence - 0.07)], 0.014, [0.88, 0.86, 0.82]);
        x += 0.16;
    }
    grass(canvas, rng, (0.8, 1.0), 120, 0.06, [0.5, 0.58, 0.2]);
}
