//! Random choices by name: the root of every scene, so that changing one parameter changes nothing else.
//!
//! A choice is a pure function of the seed and a name such as `scene.sun.azimuth`. There is no hidden state to
//! advance, hence no order in which choices must be made.

/// A source of named choices. Copy it freely; `child` and `at` open name spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    state: u64,
}

/// The finaliser of SplitMix64: spreads every input bit over the whole word.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Draw {
    /// The source of all choices of the scene with this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// 64 random bits for a name.
    pub fn bits(&self, name: &str) -> u64 {
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        mix(self.state ^ mix(hash))
    }

    /// A name space of its own.
    pub fn child(&self, name: &str) -> Self {
        Self { state: self.bits(name) }
    }

    /// The name space of the `index`-th of several like things.
    pub fn at(&self, index: usize) -> Self {
        Self { state: mix(self.state ^ mix(index as u64 ^ 0xA5A5_5A5A_1234_4321)) }
    }

    /// Uniform in 0..1 (1 excluded).
    pub fn unit(&self, name: &str) -> f32 {
        (self.bits(name) >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Uniform in `low..high`.
    pub fn range(&self, name: &str, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit(name)
    }

    /// Uniform in `0..count`; 0 when `count` is 0.
    pub fn index(&self, name: &str, count: usize) -> usize {
        if count == 0 { 0 } else { (self.bits(name) % count as u64) as usize }
    }

    /// True with the given probability.
    pub fn chance(&self, name: &str, probability: f32) -> bool {
        self.unit(name) < probability
    }

    /// One of the items, which must not be empty.
    pub fn pick<'a, T>(&self, name: &str, items: &'a [T]) -> &'a T {
        &items[self.index(name, items.len())]
    }

    /// An index drawn in proportion to the weights (all ≥ 0); 0 when they sum to nothing.
    pub fn weighted(&self, name: &str, weights: &[f32]) -> usize {
        let total: f32 = weights.iter().sum();
        let mut left = self.unit(name) * total;
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 && *weight > 0.0 {
                return index;
            }
        }
        weights.iter().position(|weight| *weight > 0.0).unwrap_or(0)
    }

    /// The numbers `0..count` in a random order.
    pub fn shuffled(&self, name: &str, count: usize) -> Vec<usize> {
        let here = self.child(name);
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|index| (here.at(*index).bits("key"), *index));
        order
    }
}
