//! Places under a roof.

use rand::{Rng, RngExt};

use super::props::{floor, mix, near, shelf, window};
use crate::figure::hsv;
use unscene_draw::{Canvas, Rgb};

fn wall(canvas: &mut Canvas, rng: &mut impl Rng, bottom: f32, color: Rgb) -> Rgb {
    let color = near(rng, color, 0.06);
    canvas.gradient(0.0, bottom, color.map(|channel| channel * 0.9), color);
    canvas.rect(0.0, bottom - 0.02, canvas.width(), 0.02, color.map(|channel| channel * 0.7));
    color
}

pub fn kitchen(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let line = rng.random_range(0.68..0.78);
    let tiles = wall(canvas, rng, line, [0.90, 0.88, 0.80]);
    let (step, offset) = (rng.random_range(0.06..0.09), rng.random_range(0.0..0.06));
    let grout = tiles.map(|channel| channel * 0.86);
    for index in 0..(width / step) as usize + 1 {
        let x = index as f32 * step + offset;
        canvas.line(&[(x, 0.2), (x, line)], 0.004, grout);
    }
    for index in 0..(0.5 / step) as usize {
        let y = 0.22 + index as f32 * step;
        canvas.line(&[(0.0, y), (width, y)], 0.004, grout);
    }
    let board = near(rng, [0.78, 0.66, 0.50], 0.05);
    floor(canvas, rng, line, board, 14, 6);
    let doors = [[0.55, 0.33, 0.18], [0.92, 0.92, 0.90], [0.42, 0.55, 0.50], [0.70, 0.52, 0.33]];
    let door = doors[rng.random_range(0..4)];
    let door = near(rng, door, 0.04);
    let counter = line - rng.random_range(0.24..0.3);
    let mut x = -rng.random_range(0.0..0.2);
    while x < width {
        let wide = rng.random_range(0.18..0.26);
        cupboard(canvas, x, counter, wide, line - counter, door);
        if rng.random_bool(0.75) {
            cupboard(canvas, x, 0.02, wide, 0.2, door);
        } else {
            canvas.polygon(
                &[(x + 0.02, 0.22), (x + 0.06, 0.1), (x + wide - 0.06, 0.1), (x + wide - 0.02, 0.22)],
                [0.7, 0.72, 0.74],
            );
        }
        x += wide;
    }
    canvas.rect(0.0, counter - 0.02, width, 0.03, near(rng, [0.3, 0.3, 0.32], 0.1));
    let fridge = rng.random_range(0.0..width - 0.25);
    canvas.rect(fridge, 0.14, 0.24, line - 0.14, [0.86, 0.88, 0.89]);
    canvas.line(&[(fridge, 0.36), (fridge + 0.24, 0.36)], 0.006, [0.55, 0.57, 0.6]);
    canvas.line(&[(fridge + 0.03, 0.42), (fridge + 0.03, 0.56)], 0.012, [0.5, 0.52, 0.55]);
    let stove = rng.random_range(0.0..width - 0.25);
    canvas.rect(stove, counter, 0.22, line - counter, [0.16, 0.16, 0.17]);
    canvas.rect(stove + 0.03, counter + 0.07, 0.16, 0.11, [0.35, 0.28, 0.2]);
    for _ in 0..rng.random_range(2..6) {
        let x = rng.random_range(0.0..width);
        let color = hsv(rng.random_range(0.0..1.0), 0.6, 0.7);
        let tall = rng.random_range(0.03..0.09);
        canvas.rect(x, counter - 0.02 - tall, rng.random_range(0.03..0.07), tall, color);
    }
}

fn cupboard(canvas: &mut Canvas, x: f32, y: f32, width: f32, height: f32, color: Rgb) {
    canvas.rect(x, y, width, height, color);
    canvas.rect(x + 0.02, y + 0.02, width - 0.04, height - 0.04, color.map(|channel| channel * 0.9));
    canvas.ellipse(x + width - 0.035, y + height / 2.0, 0.008, 0.012, [0.8, 0.78, 0.7]);
    canvas.line(&[(x, y), (x, y + height)], 0.006, color.map(|channel| channel * 0.6));
}

pub fn gym(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let line = rng.random_range(0.6..0.7);
    wall(canvas, rng, line, [0.80, 0.78, 0.72]);
    let board = near(rng, [0.86, 0.60, 0.30], 0.05);
    floor(canvas, rng, line, board, 26, 0);
    let paint = hsv(rng.random_range(0.0..1.0), 0.8, 0.75);
    canvas.rect(0.0, line - 0.22, width, 0.2, paint);
    let mark = [0.95, 0.95, 0.92];
    let middle = rng.random_range(0.2..0.8) * width;
    canvas.line(&[(0.0, line + 0.08), (width, line + 0.08)], 0.012, mark);
    canvas.line(&[(middle, line), (middle + rng.random_range(-0.3..0.3), 1.0)], 0.014, mark);
    for ring in [0.26, 0.245] {
        let color = if ring > 0.25 { mark } else { board };
        canvas.ellipse(middle, 0.86, ring, ring * 0.3, color);
    }
    let bars = rng.random_range(0.0..width - 0.3);
    for index in 0..9 {
        let y = line - 0.45 + index as f32 * 0.05;
        canvas.line(&[(bars, y), (bars + 0.26, y)], 0.014, [0.62, 0.42, 0.24]);
    }
    for x in [bars, bars + 0.13, bars + 0.26] {
        canvas.line(&[(x, line - 0.48), (x, line)], 0.016, [0.5, 0.33, 0.18]);
    }
    let hoop = rng.random_range(0.15..width - 0.15);
    canvas.rect(hoop - 0.1, 0.06, 0.2, 0.15, [0.96, 0.96, 0.96]);
    canvas.line(
        &[(hoop - 0.04, 0.12), (hoop + 0.04, 0.12), (hoop + 0.04, 0.18), (hoop - 0.04, 0.18), (hoop - 0.04, 0.12)],
        0.007,
        [0.8, 0.2, 0.15],
    );
    canvas.line(&[(hoop - 0.045, 0.2), (hoop + 0.045, 0.2)], 0.012, [0.92, 0.4, 0.1]);
    for _ in 0..rng.random_range(1..4) {
        let (x, y) = (rng.random_range(0.0..width), line + rng.random_range(0.03..0.14));
        let color = hsv(rng.random_range(0.0..1.0), 0.7, 0.8);
        if rng.random_bool(0.5) {
            canvas.ellipse(x, y, 0.035, 0.035, color);
        } else {
            canvas.polygon(&[(x, y), (x + 0.3, y), (x + 0.34, y + 0.06), (x - 0.03, y + 0.06)], color);
        }
    }
    for index in 0..rng.random_range(3..6) {
        let x = 0.1 + index as f32 * 0.3;
        canvas.rect(x, 0.02, 0.14, 0.02, [1.0, 1.0, 0.95]);
    }
}

pub fn pool(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let line = rng.random_range(0.36..0.48);
    let edge = rng.random_range(0.78..0.84);
    wall(canvas, rng, line, [0.80, 0.88, 0.92]);
    for index in 0..(width / 0.3) as usize + 1 {
        window(canvas, index as f32 * 0.3 + 0.03, 0.05, 0.24, line - 0.16, [0.75, 0.8, 0.83]);
    }
    canvas.rect(0.0, line - 0.02, width, 0.06, [0.85, 0.84, 0.80]);
    let water = near(rng, [0.12, 0.62, 0.78], 0.05);
    canvas.gradient(
        line + 0.04,
        edge - line - 0.04,
        water.map(|channel| channel * 0.85),
        mix(water, [0.6, 0.95, 1.0], 0.35),
    );
    let vanish = rng.random_range(0.3..0.7) * width;
    for lane in -4..5 {
        let (near_x, far_x) = (vanish + lane as f32 * 0.4, vanish + lane as f32 * 0.13);
        let beads = 12;
        for bead in 0..beads {
            let (a, b) = (bead as f32 / beads as f32, (bead as f32 + 1.0) / beads as f32);
            let at = |t: f32| (far_x + (near_x - far_x) * t, line + 0.04 + (edge - line - 0.04) * t);
            let color = if bead % 2 == 0 { [0.9, 0.25, 0.2] } else { [0.96, 0.96, 0.96] };
            canvas.line(&[at(a), at(b)], 0.008, color);
        }
    }
    for _ in 0..26 {
        let (x, y) = (rng.random_range(0.0..width), rng.random_range(line + 0.06..edge - 0.02));
        canvas.line_alpha(&[(x, y), (x + rng.random_range(0.03..0.12), y - 0.006)], 0.006, [0.9, 1.0, 1.0], 0.55);
    }
    let deck = near(rng, [0.88, 0.86, 0.80], 0.04);
    canvas.rect(0.0, edge, width, 1.0 - edge, deck);
    canvas.line(&[(0.0, edge), (width, edge)], 0.02, [0.15, 0.3, 0.6]);
    let mut x = 0.0;
    while x < width {
        canvas.line(&[(x, edge + 0.02), (x - 0.05, 1.0)], 0.004, deck.map(|channel| channel * 0.8));
        x += 0.1;
    }
    for _ in 0..rng.random_range(1..3) {
        let x = rng.random_range(0.0..width - 0.2);
        let color = hsv(rng.random_range(0.0..1.0), 0.8, 0.85);
        canvas.rect(x, line - 0.06, 0.09, 0.1, color);
        canvas.rect(x - 0.01, line - 0.08, 0.11, 0.02, [0.95, 0.95, 0.95]);
    }
    if rng.random_bool(0.6) {
        let x = if rng.random_bool(0.5) { 0.08 } else { width - 0.14 };
        for rail in [0.0, 0.07] {
            canvas.line(
                &[(x + rail, edge + 0.05), (x + rail, edge - 0.1), (x + rail + 0.02, edge - 0.06)],
                0.012,
                [0.75, 0.78, 0.8],
            );
        }
    }
}

pub fn office(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let line = rng.random_range(0.64..0.74);
    wall(canvas, rng, line, [0.72, 0.74, 0.78]);
    let carpet = near(rng, [0.38, 0.42, 0.50], 0.05);
    floor(canvas, rng, line, carpet, 0x10, 7);
    for index in 0..4 {
        canvas.rect(0.05 + 0.4 * index as f32, 0.0, 0.22, 0.025, [0.98, 0.98, 1.0]);
    }
    if rng.random_bool(0.8) {
        let x = rng.random_range(0.0..width - 0.5);
        window(canvas, x, 0.08, rng.random_range(0.3..0.5), 0.28, [0.5, 0.52, 0.55]);
        for slat in 0..7 {
            canvas.line(
                &[(x + 0.01, 0.1 + slat as f32 * 0.035), (x + 0.3, 0.1 + slat as f32 * 0.035)],
                0.007,
                [0.9, 0.9, 0.9],
            );
        }
    }
    if rng.random_bool(0.7) {
        let x = rng.random_range(0.0..width - 0.35);
        canvas.rect(x, 0.12, 0.34, 0.22, [0.97, 0.97, 0.97]);
        for line in 0..4 {
            let y = 0.16 + line as f32 * 0.045;
            let color = hsv(rng.random_range(0.0..1.0), 0.8, 0.6);
            canvas.line(&[(x + 0.03, y), (x + rng.random_range(0.12..0.3), y)], 0.008, color);
        }
    }
    let mut x = -rng.random_range(0.0..0.2);
    while x < width {
        desk(canvas, rng, x, line);
        x += rng.random_range(0.42..0.6);
    }
    if rng.random_bool(0.6) {
        let x = rng.random_range(0.0..width);
        canvas.polygon(
            &[(x - 0.04, line - 0.08), (x + 0.04, line - 0.08), (x + 0.03, line + 0.02), (x - 0.03, line + 0.02)],
            [0.85, 0.85, 0.82],
        );
        for _ in 0..7 {
            let (dx, dy) = (rng.random_range(-0.1..0.1), rng.random_range(0.08..0.22));
            canvas.line(&[(x, line - 0.08), (x + dx, line - 0.08 - dy)], 0.018, [0.15, 0.45, 0.2]);
        }
    }
}

fn desk(canvas: &mut Canvas, rng: &mut impl Rng, x: f32, line: f32) {
    let top = line - rng.random_range(0.15..0.2);
    let wood = near(rng, [0.78, 0.70, 0.58], 0.05);
    canvas.rect(x + 0.3, top, 0.06, line + 0.06 - top, [0.45, 0.47, 0.5]);
    canvas.rect(x, top, 0.02, line + 0.06 - top, [0.45, 0.47, 0.5]);
    canvas.rect(x - 0.02, top - 0.02, 0.4, 0.03, wood);
    canvas.rect(x + 0.1, top - 0.17, 0.17, 0.12, [0.1, 0.1, 0.12]);
    let glow = near(rng, [0.35, 0.55, 0.75], 0.12);
    canvas.rect(x + 0.108, top - 0.162, 0.154, 0.104, glow);
    canvas.rect(x + 0.175, top - 0.05, 0.02, 0.03, [0.1, 0.1, 0.12]);
    let seat = hsv(rng.random_range(0.5..0.7), 0.4, 0.35);
    canvas.ellipse(x + 0.2, top + 0.02, 0.07, 0.1, seat);
    canvas.line(&[(x + 0.2, top + 0.1), (x + 0.2, line + 0.07)], 0.014, [0.2, 0.2, 0.2]);
    canvas.line(&[(x + 0.14, line + 0.08), (x + 0.26, line + 0.08)], 0.014, [0.2, 0.2, 0.2]);
}

pub fn theatre(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let line = rng.random_range(0.64..0.74);
    wall(canvas, rng, line, [0.14, 0.09, 0.12]);
    let board = near(rng, [0.42, 0.26, 0.15], 0.04);
    floor(canvas, rng, line, board, 22, 3);
    let red = near(rng, [0.58, 0.06, 0.10], 0.04);
    let folds = rng.random_range(12..20);
    let open = rng.random_range(0.2..0.34) * width;
    for fold in 0..folds {
        let x = width * fold as f32 / folds as f32;
        let wide = width / folds as f32;
        let shade = if fold % 2 == 0 { 1.0 } else { 0.68 };
        let behind = x > open && x + wide < width - open;
        let color = red.map(|channel| channel * shade * if behind { 0.55 } else { 1.0 });
        canvas.rect(x, 0.0, wide + 0.004, line - if behind { 0.04 } else { -0.02 }, color);
    }
    let scallops = rng.random_range(5..9);
    for index in 0..scallops {
        let wide = width / scallops as f32;
        let x = wide * (index as f32 + 0.5);
        canvas.ellipse(x, 0.03, wide * 0.52, 0.11, red.map(|channel| channel * 0.85));
        canvas.line(&[(x - wide * 0.4, 0.1), (x, 0.135), (x + wide * 0.4, 0.1)], 0.01, [0.85, 0.68, 0.25]);
    }
    for _ in 0..rng.random_range(2..4) {
        let (x, to) = (rng.random_range(0.0..width), rng.random_range(0.1..width - 0.1));
        let beam = [1.0, 0.95, 0.75];
        canvas.polygon_alpha(&[(x - 0.01, 0.0), (x + 0.01, 0.0), (to + 0.2, 0.9), (to - 0.2, 0.9)], beam, 0.14);
        canvas.ellipse_alpha(to, 0.88, 0.24, 0.07, beam, 0.35);
    }
    canvas.rect(0.0, 0.97, width, 0.03, [0.1, 0.06, 0.05]);
    let mut x = 0.05;
    while x < width {
        canvas.ellipse(x, 0.975, 0.014, 0.01, [1.0, 0.9, 0.6]);
        x += 0.1;
    }
}

pub fn library(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let line = rng.random_range(0.7..0.78);
    wall(canvas, rng, line, [0.55, 0.45, 0.33]);
    let board = near(rng, [0.50, 0.34, 0.20], 0.04);
    floor(canvas, rng, line, board, 18, 4);
    let wood = near(rng, [0.42, 0.26, 0.14], 0.05);
    let mut x = -rng.random_range(0.0..0.3);
    while x < width {
        let wide = rng.random_range(0.34..0.5);
        shelf(canvas, rng, [x, 0.06, wide, line - 0.05], 5, wood);
        x += wide + rng.random_range(0.0..0.05);
    }
    let x = rng.random_range(0.0..width - 0.3);
    canvas.rect(x, line - 0.06, 0.4, 0.03, wood.map(|channel| channel * 1.3));
    canvas.line(&[(x + 0.03, line - 0.04), (x + 0.03, line + 0.1)], 0.018, wood);
    canvas.line(&[(x + 0.37, line - 0.04), (x + 0.37, line + 0.1)], 0.018, wood);
    canvas.polygon(
        &[(x + 0.12, line - 0.13), (x + 0.24, line - 0.13), (x + 0.22, line - 0.18), (x + 0.14, line - 0.18)],
        [0.15, 0.5, 0.3],
    );
    canvas.line(&[(x + 0.18, line - 0.13), (x + 0.18, line - 0.06)], 0.01, [0.8, 0.65, 0.25]);
}

pub fn subway(canvas: &mut Canvas, rng: &mut impl Rng) {
    let width = canvas.width();
    let line = rng.random_range(0.64..0.72);
    let tile = wall(canvas, rng, line, [0.86, 0.87, 0.82]);
    for row in 0..14 {
        let y = row as f32 * 0.05;
        canvas.line(&[(0.0, y), (width, y)], 0.003, tile.map(|channel| channel * 0.82));
        for column in 0..(width / 0.1) as usize + 1 {
            let x = column as f32 * 0.1 + if row % 2 == 0 { 0.0 } else { 0.05 };
            canvas.line(&[(x, y), (x, y + 0.05)], 0.003, tile.map(|channel| channel * 0.82));
        }
    }
    let stripe = hsv(rng.random_range(0.0..1.0), 0.8, 0.6);
    canvas.rect(0.0, 0.1, width, 0.07, stripe);
    let sign = rng.random_range(0.1..width - 0.4);
    canvas.rect(sign, 0.09, 0.3, 0.09, [0.08, 0.1, 0.3]);
    canvas.line(&[(sign + 0.04, 0.135), (sign + 0.26, 0.135)], 0.022, [0.96, 0.96, 0.96]);
    if rng.random_bool(0.6) {
        let metal = near(rng, [0.62, 0.65, 0.68], 0.04);
        canvas.rect(0.0, 0.24, width, line - 0.26, metal);
        canvas.rect(0.0, line - 0.12, width, 0.04, stripe);
        let mut x = rng.random_range(0.0..0.2);
        while x < width {
            canvas.rect(x, 0.29, 0.18, 0.13, [0.16, 0.2, 0.24]);
            canvas.rect(x + 0.24, 0.27, 0.1, line - 0.3, metal.map(|channel| channel * 0.8));
            x += 0.4;
        }
    }
    let concrete = near(rng, [0.45, 0.45, 0.44], 0.04);
    floor(canvas, rng, line, concrete, 10, 5);
    canvas.rect(0.0, line + 0.02, width, 0.035, [0.92, 0.78, 0.15]);
    for _ in 0..rng.random_range(1..3) {
        let x = rng.random_range(0.0..width);
        canvas.gradient_rect(x, 0.0, 0.09, line + 0.1, [0.5, 0.5, 0.5], [0.35, 0.35, 0.36]);
    }
    let bench = rng.random_range(0.0..width - 0.3);
    canvas.rect(bench, line - 0.06, 0.3, 0.025, [0.5, 0.32, 0.18]);
    canvas.line(&[(bench + 0.04, line - 0.04), (bench + 0.04, line + 0.03)], 0.012, [0.2, 0.2, 0.2]);
    canvas.line(&[(bench + 0.26, line - 0.04), (bench + 0.26, line + 0.03)], 0.012, [0.2, 0.2, 0.2]);
}
