//! Colours: names a person would use, conversion to linear light, and twenty harmonious palettes.

use glam::Vec3;

use super::rng::Draw;

/// Linear light from an sRGB hex value such as `0xB5332B`.
pub fn hex(rgb: u32) -> Vec3 {
    let channel = |shift: u32| to_linear(((rgb >> shift) & 255) as f32 / 255.0);
    Vec3::new(channel(16), channel(8), channel(0))
}

/// sRGB transfer function, decoding: 0..1 to 0..1.
pub fn to_linear(c: f32) -> f32 {
    if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
}

/// sRGB transfer function, encoding: 0..1 to 0..1.
pub fn to_srgb(c: f32) -> f32 {
    if c <= 0.003_130_8 { c * 12.92 } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 }
}

/// Relative luminance of linear light.
pub fn luminance(c: Vec3) -> f32 {
    c.dot(Vec3::new(0.2126, 0.7152, 0.0722))
}

/// The twelve colours that parts can be painted in, with the paint as sRGB hex.
pub const PAINTS: [(&str, u32); 12] = [
    ("red", 0xB8_30_28),
    ("orange", 0xE0_7A_22),
    ("yellow", 0xEA_C5_3A),
    ("green", 0x45_8A_3C),
    ("blue", 0x2C_60_B4),
    ("purple", 0x78_45_A2),
    ("pink", 0xE8_8C_B2),
    ("white", 0xF2_F0_EA),
    ("black", 0x22_22_26),
    ("brown", 0x76_4A_2A),
    ("grey", 0x8A_8D_92),
    ("turquoise", 0x30_B2_AA),
];

/// The paint of that name, linear.
pub fn paint(name: &str) -> Option<Vec3> {
    PAINTS.iter().find(|(known, _)| *known == name).map(|(_, rgb)| hex(*rgb))
}

/// A colour with the name a caption gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named {
    pub name: &'static str,
    /// linear light
    pub rgb: Vec3,
}

/// A set of colours that go well together.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub name: &'static str,
    grass: u32,
    leaves: [u32; 2],
    conifer: u32,
    roofs: [(&'static str, u32); 2],
    walls: [(&'static str, u32); 2],
    doors: [(&'static str, u32); 2],
    rock: u32,
    road: u32,
    water: u32,
}

const R_TERRA: (&str, u32) = ("orange", 0xB9_66_3C);
const R_BRICK: (&str, u32) = ("red", 0x9C_3B_2C);
const R_RUST: (&str, u32) = ("red", 0xA8_4A_34);
const R_SLATE: (&str, u32) = ("grey", 0x5D_66_70);
const R_DARK: (&str, u32) = ("black", 0x33_36_3C);
const R_BROWN: (&str, u32) = ("brown", 0x73_4C_34);
const R_BLUE: (&str, u32) = ("blue", 0x40_62_90);
const R_GREEN: (&str, u32) = ("green", 0x4E_74_5A);
const R_STRAW: (&str, u32) = ("yellow", 0xC4_A0_5A);
const R_TEAL: (&str, u32) = ("turquoise", 0x3E_86_86);

const W_WHITE: (&str, u32) = ("white", 0xF0_EB_E0);
const W_CREAM: (&str, u32) = ("yellow", 0xEF_DB_A8);
const W_OCHRE: (&str, u32) = ("yellow", 0xE0_B4_58);
const W_FALU: (&str, u32) = ("red", 0x96_32_28);
const W_BRICK: (&str, u32) = ("red", 0xAE_5C_46);
const W_STONE: (&str, u32) = ("grey", 0xA8_A4_9A);
const W_TIMBER: (&str, u32) = ("brown", 0x8A_5C_38);
const W_SKY: (&str, u32) = ("blue", 0x86_AA_CC);
const W_ROSE: (&str, u32) = ("pink", 0xE4_B0_A4);
const W_SAGE: (&str, u32) = ("green", 0x9A_B0_8C);
const W_PEACH: (&str, u32) = ("orange", 0xE6_A8_74);

const D_GREEN: (&str, u32) = ("green", 0x3A_6A_4A);
const D_RED: (&str, u32) = ("red", 0xA0_30_2C);
const D_BLUE: (&str, u32) = ("blue", 0x2E_58_8E);
const D_BROWN: (&str, u32) = ("brown", 0x62_3E_26);
const D_WHITE: (&str, u32) = ("white", 0xEC_E8_DE);
const D_TEAL: (&str, u32) = ("turquoise", 0x2E_84_80);
const D_YELLOW: (&str, u32) = ("yellow", 0xE2_B8_40);
const D_BLACK: (&str, u32) = ("black", 0x2A_2A_2E);

macro_rules! palettes {
    ($(($name:literal, $grass:literal, [$l0:literal, $l1:literal], $conifer:literal, [$r0:ident, $r1:ident], [$w0:ident, $w1:ident],
        [$d0:ident, $d1:ident], $rock:literal, $road:literal, $water:literal)),* $(,)?) => {
        &[$(Palette { name: $name, grass: $grass, leaves: [$l0, $l1], conifer: $conifer, roofs: [$r0, $r1], walls: [$w0, $w1],
            doors: [$d0, $d1], rock: $rock, road: $road, water: $water }),*]
    };
}

/// The palettes. Leaves and grass stay within what reads as summer vegetation; houses carry the accents.
pub const PALETTES: &[Palette] = palettes![
    (
        "alpine",
        0x6E9A45,
        [0x4E8038, 0x6C9A3E],
        0x2E5A40,
        [R_BROWN, R_RUST],
        [W_WHITE, W_TIMBER],
        [D_GREEN, D_BROWN],
        0x84888C,
        0xA89880,
        0x2A6E86
    ),
    (
        "tuscan",
        0x92A04C,
        [0x62843A, 0x849844],
        0x3C5E3A,
        [R_TERRA, R_RUST],
        [W_OCHRE, W_PEACH],
        [D_GREEN, D_BROWN],
        0x9A8E78,
        0xC6AC84,
        0x3A7C86
    ),
    (
        "nordic",
        0x74984E,
        [0x568640, 0x7CA050],
        0x2C5444,
        [R_DARK, R_SLATE],
        [W_FALU, W_OCHRE],
        [D_WHITE, D_GREEN],
        0x80868C,
        0x988C7C,
        0x2C5E80
    ),
    (
        "dutch",
        0x7AA84A,
        [0x5A8E3C, 0x78A84A],
        0x345E3C,
        [R_RUST, R_SLATE],
        [W_BRICK, W_WHITE],
        [D_BLUE, D_GREEN],
        0x868680,
        0x90847A,
        0x3A6C7A
    ),
    (
        "cotswold",
        0x7C9E4A,
        [0x5C8440, 0x84A04C],
        0x3A5C40,
        [R_BROWN, R_SLATE],
        [W_CREAM, W_STONE],
        [D_TEAL, D_GREEN],
        0x98907E,
        0xBCA888,
        0x3C7480
    ),
    (
        "aegean",
        0x9AA45A,
        [0x6A8C46, 0x8CA058],
        0x466A46,
        [R_BLUE, R_TERRA],
        [W_WHITE, W_WHITE],
        [D_BLUE, D_TEAL],
        0xB0A490,
        0xCCB898,
        0x1E7C9C
    ),
    (
        "harbour",
        0x78A050,
        [0x588A44, 0x7CA24C],
        0x325A44,
        [R_SLATE, R_BRICK],
        [W_SKY, W_WHITE],
        [D_RED, D_WHITE],
        0x84888A,
        0x9A9084,
        0x26668A
    ),
    (
        "meadow",
        0x84AC48,
        [0x609038, 0x88AE44],
        0x386444,
        [R_BRICK, R_TERRA],
        [W_WHITE, W_CREAM],
        [D_GREEN, D_BLUE],
        0x8C8A80,
        0xB49C7C,
        0x367690
    ),
    (
        "provence",
        0x9CA654,
        [0x6C8C42, 0x90A24E],
        0x44663E,
        [R_TERRA, R_STRAW],
        [W_PEACH, W_CREAM],
        [D_BLUE, D_TEAL],
        0xA89A82,
        0xCAB08C,
        0x3A8090
    ),
    (
        "highland",
        0x728E4A,
        [0x567C40, 0x74924A],
        0x30563E,
        [R_SLATE, R_DARK],
        [W_WHITE, W_STONE],
        [D_RED, D_BLUE],
        0x787A7C,
        0x8E867A,
        0x2E5870
    ),
    (
        "orchard",
        0x80A848,
        [0x5E903E, 0x80AA48],
        0x36603C,
        [R_BRICK, R_BROWN],
        [W_SAGE, W_CREAM],
        [D_WHITE, D_RED],
        0x8A867C,
        0xB0987A,
        0x3A7486
    ),
    (
        "fjord",
        0x6A9450,
        [0x4E7E42, 0x6C984C],
        0x284E40,
        [R_DARK, R_GREEN],
        [W_FALU, W_WHITE],
        [D_WHITE, D_YELLOW],
        0x70787E,
        0x8C8478,
        0x1E5472
    ),
    (
        "rose",
        0x82A650,
        [0x628E44, 0x84A852],
        0x3A6044,
        [R_SLATE, R_BROWN],
        [W_ROSE, W_WHITE],
        [D_TEAL, D_WHITE],
        0x8E8880,
        0xB29E86,
        0x3A7286
    ),
    (
        "prairie",
        0x9EA850,
        [0x6A8E3E, 0x8CA04A],
        0x40623C,
        [R_SLATE, R_BRICK],
        [W_FALU, W_WHITE],
        [D_WHITE, D_BLACK],
        0x948A78,
        0xBEA47E,
        0x44788A
    ),
    (
        "seaside",
        0x88A858,
        [0x629048, 0x84A850],
        0x3C6648,
        [R_TEAL, R_SLATE],
        [W_WHITE, W_SKY],
        [D_YELLOW, D_RED],
        0xA09888,
        0xCAB898,
        0x2078A0
    ),
    (
        "forest",
        0x648C40,
        [0x467634, 0x62903C],
        0x264C36,
        [R_GREEN, R_BROWN],
        [W_TIMBER, W_CREAM],
        [D_RED, D_GREEN],
        0x767A74,
        0x8E7E66,
        0x2A6070
    ),
    (
        "bavarian",
        0x76A446,
        [0x548A38, 0x74A444],
        0x305C3C,
        [R_RUST, R_BROWN],
        [W_WHITE, W_PEACH],
        [D_BROWN, D_GREEN],
        0x888A86,
        0xA89880,
        0x2E7088
    ),
    (
        "baltic",
        0x7CA052,
        [0x5A8846, 0x7AA04E],
        0x325C48,
        [R_BRICK, R_TERRA],
        [W_SKY, W_SAGE],
        [D_WHITE, D_BLUE],
        0x8C8C88,
        0xA89A86,
        0x3A6E8A
    ),
    (
        "sunlit",
        0x90AE4C,
        [0x669440, 0x8AB048],
        0x3E6640,
        [R_TERRA, R_BRICK],
        [W_CREAM, W_WHITE],
        [D_TEAL, D_RED],
        0x968E7E,
        0xC4AA82,
        0x2E7C94
    ),
    (
        "moor",
        0x82924E,
        [0x5E7E42, 0x7C924C],
        0x365840,
        [R_STRAW, R_SLATE],
        [W_WHITE, W_STONE],
        [D_BLUE, D_BLACK],
        0x7E7C78,
        0xA0927C,
        0x305E74
    ),
];

/// The colours of one scene: a palette with jitter.
#[derive(Clone, Debug)]
pub struct Colours {
    pub palette: &'static str,
    pub grass: Vec3,
    pub leaves: [Vec3; 2],
    pub conifer: Vec3,
    pub roof: Named,
    pub walls: [Named; 2],
    pub door: Named,
    pub rock: Vec3,
    pub road: Vec3,
    pub water: Vec3,
    pub car: Named,
    pub boat: Named,
    pub fence: Named,
}

impl Colours {
    /// Draws the palette and its jitter.
    pub fn draw(draw: Draw) -> Self {
        let draw = draw.child("palette");
        let palette = draw.pick("choice", PALETTES);
        let jitter = |name: &str, rgb: u32, amount: f32| -> Vec3 {
            let d = draw.child(name);
            let light = 1.0 + d.range("light", -amount, amount);
            let hue = Vec3::new(d.range("red", -1.0, 1.0), d.range("green", -1.0, 1.0), d.range("blue", -1.0, 1.0));
            hex(rgb) * light * (Vec3::ONE + hue * amount * 0.45)
        };
        let named = |name: &str, item: (&'static str, u32)| Named { name: item.0, rgb: jitter(name, item.1, 0.08) };
        const CARS: [(&str, u32); 8] = [
            ("red", 0xB4_28_24),
            ("blue", 0x2A_5C_A8),
            ("white", 0xEC_EC_E8),
            ("yellow", 0xE6_B8_30),
            ("green", 0x3C_7A_50),
            ("black", 0x26_28_2C),
            ("orange", 0xDC_74_28),
            ("turquoise", 0x40_A4_A4),
        ];
        const BOATS: [(&str, u32); 6] = [
            ("white", 0xF0_EE_E8),
            ("red", 0xB0_34_2C),
            ("blue", 0x30_64_A4),
            ("brown", 0x86_58_34),
            ("yellow", 0xE4_BC_48),
            ("green", 0x3E_74_54),
        ];
        const FENCES: [(&str, u32); 3] = [("brown", 0x7E_5E_42), ("white", 0xEC_E8_E0), ("grey", 0x90_8A_82)];
        let wall = draw.index("wall", 2);
        Self {
            palette: palette.name,
            grass: jitter("grass", palette.grass, 0.12) * 0.64,
            leaves: [
                jitter("leaves.0", palette.leaves[0], 0.12) * 0.78,
                jitter("leaves.1", palette.leaves[1], 0.12) * 0.78,
            ],
            conifer: jitter("conifer", palette.conifer, 0.12),
            roof: named("roof", *draw.pick("roof.choice", &palette.roofs)),
            walls: [named("wall.0", palette.walls[wall]), named("wall.1", palette.walls[1 - wall])],
            door: named("door", *draw.pick("door.choice", &palette.doors)),
            rock: jitter("rock", palette.rock, 0.1),
            road: jitter("road", palette.road, 0.1),
            water: jitter("water", palette.water, 0.12),
            car: named("car", *draw.pick("car.choice", &CARS)),
            boat: named("boat", *draw.pick("boat.choice", &BOATS)),
            fence: named("fence", *draw.pick("fence.choice", &FENCES)),
        }
    }
}
