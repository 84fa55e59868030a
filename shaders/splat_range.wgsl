// The smallest and largest number of a map, so that its scale of colours fits what is seen.

@group(0) @binding(0) var map: texture_2d<f32>;
// Bits of numbers that are not negative: they are in order as whole numbers.
@group(0) @binding(1) var<storage, read_write> range: array<atomic<u32>, 2>;

var<workgroup> low: atomic<u32>;
var<workgroup> high: atomic<u32>;

fn take(value: f32, counts: bool, t: u32) {
    if t == 0u {
        atomicStore(&low, 0xffffffffu);
        atomicStore(&high, 0u);
    }
    workgroupBarrier();
    if counts {
        atomicMin(&low, bitcast<u32>(value));
        atomicMax(&high, bitcast<u32>(value));
    }
    workgroupBarrier();
    if t == 0u {
        atomicMin(&range[0], atomicLoad(&low));
        atomicMax(&range[1], atomicLoad(&high));
    }
}

// Of depths, where enough is seen.
@compute @workgroup_size(16, 16)
fn depths(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
    let inside = all(id.xy < textureDimensions(map));
    let seen = textureLoad(map, min(id.xy, textureDimensions(map) - 1u), 0);
    take(max(seen.x / max(seen.w, 1e-20), 0.0), inside && seen.w > SEEN, t);
}

// Of counts, everywhere.
@compute @workgroup_size(16, 16)
fn counts(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
    let inside = all(id.xy < textureDimensions(map));
    take(max(textureLoad(map, min(id.xy, textureDimensions(map) - 1u), 0).x, 0.0), inside, t);
}
