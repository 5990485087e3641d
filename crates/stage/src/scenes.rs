//! The places: what makes a kitchen a kitchen is its kind of layout, colours, textures and objects, not one picture.

mod indoor;
mod outdoor;
mod props;

use rand::{Rng, RngExt};

use unscene_draw::{Canvas, Rgb};

/// A kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scene {
    /// Beach.
    Beach,
    /// Forest.
    Forest,
    /// Kitchen.
    Kitchen,
    /// Street.
    Street,
    /// Gym.
    Gym,
    /// Pool.
    Pool,
    /// Snow.
    Snow,
    /// Desert.
    Desert,
    /// Office.
    Office,
    /// Theatre.
    Theatre,
    /// Library.
    Library,
    /// Farm.
    Farm,
    /// Subway.
    Subway,
    /// A street at night.
    NightCity,
}

impl Scene {
    /// Scene `i` is the own scene of action `i`.
    pub const OWN: [Scene; 10] = [
        Scene::Beach,
        Scene::Forest,
        Scene::Kitchen,
        Scene::Street,
        Scene::Gym,
        Scene::Pool,
        Scene::Snow,
        Scene::Desert,
        Scene::Office,
        Scene::Theatre,
    ];

    /// All scenes, in the order of class indices.
    pub fn all() -> impl Iterator<Item = Scene> {
        Scene::OWN.into_iter().chain(Scene::UNSEEN)
    }

    /// Scenes that no training video shows.
    pub const UNSEEN: [Scene; 4] = [Scene::Library, Scene::Farm, Scene::Subway, Scene::NightCity];

    /// The class name.
    pub fn name(self) -> &'static str {
        match self {
            Scene::Beach => "beach",
            Scene::Forest => "forest",
            Scene::Kitchen => "kitchen",
            Scene::Street => "street",
            Scene::Gym => "gym",
            Scene::Pool => "pool",
            Scene::Snow => "snow",
            Scene::Desert => "desert",
            Scene::Office => "office",
            Scene::Theatre => "theatre",
            Scene::Library => "library",
            Scene::Farm => "farm",
            Scene::Subway => "subway",
            Scene::NightCity => "night_city",
        }
    }

    /// Paints one view of the place. The same generator state gives the same view.
    pub(crate) fn draw(self, canvas: &mut Canvas, rng: &mut impl Rng) {
        canvas.set_light(daylight(rng));
        match self {
            Scene::Beach => outdoor::beach(canvas, rng),
            Scene::Forest => outdoor::forest(canvas, rng),
            Scene::Street => outdoor::street(canvas, rng, false),
            Scene::NightCity => outdoor::street(canvas, rng, true),
            Scene::Snow => outdoor::snow(canvas, rng),
            Scene::Desert => outdoor::desert(canvas, rng),
            Scene::Farm => outdoor::farm(canvas, rng),
            Scene::Kitchen => indoor::kitchen(canvas, rng),
            Scene::Gym => indoor::gym(canvas, rng),
            Scene::Pool => indoor::pool(canvas, rng),
            Scene::Office => indoor::office(canvas, rng),
            Scene::Theatre => indoor::theatre(canvas, rng),
            Scene::Library => indoor::library(canvas, rng),
            Scene::Subway => indoor::subway(canvas, rng),
        }
        canvas.set_light([1.0; 3]);
    }
}

/// Brighter or darker, warmer or colder.
fn daylight(rng: &mut impl Rng) -> Rgb {
    let bright = rng.random_range(0.72..1.12);
    let warm = rng.random_range(-0.08..0.08);
    [bright * (1.0 + warm), bright, bright * (1.0 - warm)]
}
