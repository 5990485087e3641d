//! Pictures for people: shapes, text and pasted frames, anti-aliased, in units of the picture's height.

mod heat;
mod mark;

pub use heat::heat_over;
pub use mark::Marker;
pub use tiny_skia;

use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Paint, PathBuilder, Pixmap, Point,
    PremultipliedColorU8, Shader, SpreadMode, Stroke, Transform,
};

use ttf_parser::{Face, GlyphId};

/// Red, green and blue from 0 to 1.
pub type Rgb = [f32; 3];

/// A picture to draw on. Coordinates are in picture heights: x from 0 to [`Canvas::width`], y from 0 (top) to 1.
pub struct Canvas {
    /// The pixels.
    pub pixmap: Pixmap,
    transform: Transform,
    width: f32,
    light: Rgb,
}

impl Canvas {
    /// A black picture.
    ///
    /// # Panics
    /// When a side is 0 or the picture is larger than memory can be.
    pub fn new(width_px: u32, height_px: u32) -> Self {
        let pixmap = Pixmap::new(width_px, height_px).expect("a picture has a size");
        let scale = height_px as f32;
        Canvas {
            pixmap,
            transform: Transform::from_scale(scale, scale),
            width: width_px as f32 / height_px as f32,
            light: [1.0; 3],
        }
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn png(&self) -> std::io::Result<Vec<u8>> {
        self.pixmap.encode_png().map_err(std::io::Error::other)
    }

    /// The width in heights.
    pub fn width(&self) -> f32 {
        self.width
    }

    /// Multiplies the colours drawn from now on.
    pub fn set_light(&mut self, light: Rgb) {
        self.light = light;
    }

    /// Copies the picture out as RGB bytes, brighter by a factor.
    pub fn read(&self, rgb: &mut [u8], gain: f32) {
        for (to, from) in rgb.chunks_exact_mut(3).zip(self.pixmap.data().chunks_exact(4)) {
            for channel in 0..3 {
                to[channel] = (f32::from(from[channel]) * gain).min(255.0) as u8;
            }
        }
    }

    fn color(&self, color: Rgb, alpha: f32) -> Color {
        let channel = |index: usize| (color[index] * self.light[index]).clamp(0.0, 1.0);
        Color::from_rgba(channel(0), channel(1), channel(2), alpha.clamp(0.0, 1.0)).expect("channels are in 0..1")
    }

    fn paint(&self, color: Rgb, alpha: f32) -> Paint<'static> {
        let mut paint = Paint::default();
        paint.set_color(self.color(color, alpha));
        paint
    }

    /// Puts RGB bytes of rows of `width` pixels at a place in pixels, each pixel as a square of `enlarge` pixels.
    pub fn paste(&mut self, x: u32, y: u32, rgb: &[u8], width: u32, enlarge: u32) {
        let stride = self.pixmap.width() as usize;
        let (width, enlarge) = (width as usize, enlarge as usize);
        let pixels = self.pixmap.pixels_mut();
        for (index, rgb) in rgb.chunks_exact(3).enumerate() {
            let color = PremultipliedColorU8::from_rgba(rgb[0], rgb[1], rgb[2], 255).expect("opaque");
            let (column, row) = (x as usize + index % width * enlarge, y as usize + index / width * enlarge);
            for row in row..row + enlarge {
                pixels[row * stride + column..row * stride + column + enlarge].fill(color);
            }
        }
    }

    /// Writes a line of text with its baseline at `y`; `size` is the height of a line.
    pub fn text(&mut self, x: f32, y: f32, size: f32, color: Rgb, text: &str) {
        let face = face();
        let scale = size / face.height() as f32;
        let mut outline = Outline { builder: PathBuilder::new(), x, y, scale };
        for glyph in glyphs(&face, text) {
            face.outline_glyph(glyph, &mut outline);
            outline.x += face.glyph_hor_advance(glyph).unwrap_or(0) as f32 * scale;
        }
        if let Some(path) = outline.builder.finish() {
            let paint = self.paint(color, 1.0);
            self.pixmap.fill_path(&path, &paint, FillRule::Winding, self.transform, None);
        }
    }

    /// A rectangle.
    pub fn rect(&mut self, x: f32, y: f32, width: f32, height: f32, color: Rgb) {
        self.polygon(&[(x, y), (x + width, y), (x + width, y + height), (x, y + height)], color);
    }

    /// The outline of a rectangle.
    pub fn frame(&mut self, x: f32, y: f32, width: f32, height: f32, thickness: f32, color: Rgb) {
        let corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)];
        self.line(&corners, thickness, color);
    }

    /// A filled polygon.
    pub fn polygon(&mut self, points: &[(f32, f32)], color: Rgb) {
        self.polygon_alpha(points, color, 1.0);
    }

    /// A filled polygon that what is below shines through.
    pub fn polygon_alpha(&mut self, points: &[(f32, f32)], color: Rgb, alpha: f32) {
        let mut builder = PathBuilder::new();
        for (index, &(x, y)) in points.iter().enumerate() {
            if index == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        builder.close();
        if let Some(path) = builder.finish() {
            let paint = self.paint(color, alpha);
            self.pixmap.fill_path(&path, &paint, FillRule::Winding, self.transform, None);
        }
    }

    /// A filled ellipse around a point.
    pub fn ellipse(&mut self, x: f32, y: f32, rx: f32, ry: f32, color: Rgb) {
        self.ellipse_alpha(x, y, rx, ry, color, 1.0);
    }

    /// A filled ellipse that what is below shines through.
    pub fn ellipse_alpha(&mut self, x: f32, y: f32, rx: f32, ry: f32, color: Rgb, alpha: f32) {
        let Some(bounds) = tiny_skia::Rect::from_xywh(x - rx, y - ry, 2.0 * rx, 2.0 * ry) else { return };
        if let Some(path) = PathBuilder::from_oval(bounds) {
            let paint = self.paint(color, alpha);
            self.pixmap.fill_path(&path, &paint, FillRule::Winding, self.transform, None);
        }
    }

    /// A line through points, with round ends.
    pub fn line(&mut self, points: &[(f32, f32)], thickness: f32, color: Rgb) {
        self.line_alpha(points, thickness, color, 1.0);
    }

    /// A line that what is below shines through.
    pub fn line_alpha(&mut self, points: &[(f32, f32)], thickness: f32, color: Rgb, alpha: f32) {
        let mut builder = PathBuilder::new();
        for (index, &(x, y)) in points.iter().enumerate() {
            if index == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        if let Some(path) = builder.finish() {
            let stroke =
                Stroke { width: thickness, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
            let paint = self.paint(color, alpha);
            self.pixmap.stroke_path(&path, &paint, &stroke, self.transform, None);
        }
    }

    /// A rectangle over the full width whose colour runs from `top` to `bottom`.
    pub fn gradient(&mut self, y: f32, height: f32, top: Rgb, bottom: Rgb) {
        self.gradient_rect(0.0, y, self.width, height, top, bottom);
    }

    /// A rectangle whose colour runs from `top` to `bottom`.
    pub fn gradient_rect(&mut self, x: f32, y: f32, width: f32, height: f32, top: Rgb, bottom: Rgb) {
        let stops = vec![GradientStop::new(0.0, self.color(top, 1.0)), GradientStop::new(1.0, self.color(bottom, 1.0))];
        let (from, to) = (Point::from_xy(0.0, y), Point::from_xy(0.0, y + height));
        let shader = LinearGradient::new(from, to, stops, SpreadMode::Pad, Transform::identity());
        let Some(rect) = tiny_skia::Rect::from_xywh(x, y, width, height) else { return };
        let paint = Paint { shader: shader.unwrap_or(Shader::SolidColor(self.color(top, 1.0))), ..Paint::default() };
        self.pixmap.fill_path(&PathBuilder::from_rect(rect), &paint, FillRule::Winding, self.transform, None);
    }
}

/// How wide [`Canvas::text`] writes a text of that size.
pub fn text_width(size: f32, text: &str) -> f32 {
    let face = face();
    let advance = |glyph| f32::from(face.glyph_hor_advance(glyph).unwrap_or(0));
    glyphs(&face, text).map(advance).sum::<f32>() * size / f32::from(face.height())
}

fn face() -> Face<'static> {
    Face::parse(epaint_default_fonts::HACK_REGULAR, 0).expect("the font is part of the program")
}

/// A letter that the font lacks is its first glyph, an empty box.
fn glyphs<'a>(face: &'a Face<'static>, text: &'a str) -> impl Iterator<Item = GlyphId> + 'a {
    text.chars().map(|letter| face.glyph_index(letter).unwrap_or(GlyphId(0)))
}

/// Collects glyphs as one path, in picture heights.
struct Outline {
    builder: PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl ttf_parser::OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}
