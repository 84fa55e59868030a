// Brings one window of the sorted Gaussians of one chunk into drawing order, so that what is drawn lies in one buffer
// below the device's binding limit, however large the scene is.

struct Window {
    // The window's place among the sorted, and its length.
    first: u32,
    length: u32,
    // The chunk's Gaussians.
    chunk_first: u32,
    chunk_count: u32,
    // Numbers of each Gaussian in `channels`, the first that is taken, and how many are.
    stride: u32,
    offset: u32,
    taken: u32,
}

@group(0) @binding(0) var<uniform> window: Window;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> records: array<vec4f>;
@group(0) @binding(4) var<storage, read> channels: array<f32>;
@group(0) @binding(5) var<storage, read_write> records_out: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> channels_out: array<f32>;

@compute @workgroup_size(256)
fn gather(@builtin(global_invocation_id) id: vec3u) {
    let at = id.x;
    if at >= window.length || window.first + at >= state[3] { return; }
    let index = order[window.first + at];
    if index < window.chunk_first || index >= window.chunk_first + window.chunk_count { return; }
    let local = index - window.chunk_first;
    for (var part = 0u; part < RECORD; part++) { records_out[RECORD * at + part] = records[RECORD * local + part]; }
    let source = local * window.stride + window.offset;
    for (var channel = 0u; channel < window.taken; channel++) {
        channels_out[at * window.taken + channel] = channels[source + channel];
    }
}
