// Folds the blended numbers of one pass into four numbers a pixel, so that any count of channels takes the same room.
// A line that ends in EACH is there once for each target, its number in the place of #.

struct Fold {
    // What the numbers are: KEEP, GREATEST or COSINE.
    kind: u32,
    // The first channel of this pass, and how many there are in all.
    first: u32,
    dim: u32,
    // 1: nothing was folded before.
    is_first: u32,
    // The query's channels of this pass, three a target.
    query: array<vec4f, 8>,
}

const KEEP: u32 = 0u;
const GREATEST: u32 = 1u;

@group(0) @binding(0) var<uniform> fold: Fold;
@group(0) @binding(1) var before: texture_2d<f32>;
@group(0) @binding(1#) var map_#: texture_2d<f32>; // EACH

// KEEP: the first four channels. GREATEST: the greatest number, and its channel. COSINE: the product with the query, and
// the square of the length.
fn joined(sum: vec4f, three: vec3f, target_: u32) -> vec4f {
    var out = sum;
    if fold.kind == KEEP {
        if target_ == 0u { out = vec4f(three, out.w); }
        if target_ == 1u { out.w = three.x; }
    } else if fold.kind == GREATEST {
        for (var at = 0u; at < 3u; at++) {
            let channel = fold.first + 3u * target_ + at;
            if channel < fold.dim && (channel == 0u || three[at] > out.x) {
                out.x = three[at];
                out.y = f32(channel);
            }
        }
    } else {
        out.x += dot(three, fold.query[target_].xyz);
        out.y += dot(three, three);
    }
    return out;
}

@vertex
fn whole(@builtin(vertex_index) corner: u32) -> @builtin(position) vec4f {
    return vec4f(f32(corner & 1u) * 4.0 - 1.0, f32(corner >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn folded(@builtin(position) at: vec4f) -> @location(0) vec4f {
    let pixel = vec2i(at.xy);
    var sum = vec4f(0.0);
    if fold.is_first == 0u { sum = textureLoad(before, pixel, 0); }
    sum = joined(sum, textureLoad(map_#, pixel, 0).xyz, #u); // EACH
    return sum;
}
