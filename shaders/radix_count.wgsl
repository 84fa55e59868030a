// First pass of a digit: how many keys of each value a workgroup has.

@group(0) @binding(0) var<uniform> digit: Digit;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;

var<workgroup> histogram: array<atomic<u32>, DIGITS>;

@compute @workgroup_size(256)
fn count(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
    let first = digit.is_first == 1u;
    let n = select(state[STATE_COUNT], digit.count, first);
    let groups = (n + TILE - 1u) / TILE;
    atomicStore(&histogram[t], 0u);
    workgroupBarrier();
    for (var row = 0u; row < ROWS; row++) {
        let i = group.x * TILE + row * 256u + t;
        if i < n {
            let key = keys[select(i, n - 1u - i, first)];
            if !(first && key == CULLED_KEY) { atomicAdd(&histogram[(key >> digit.shift) & (DIGITS - 1u)], 1u); }
        }
    }
    workgroupBarrier();
    counts[t * groups + group.x] = atomicLoad(&histogram[t]);
}
