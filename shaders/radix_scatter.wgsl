// Third pass of a digit: every key goes to its place. Within a row of 256 keys the rank among equals is counted in masks.

@group(0) @binding(0) var<uniform> digit: Digit;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> values: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;
@group(0) @binding(5) var<storage, read_write> keys_out: array<u32>;
@group(0) @binding(6) var<storage, read_write> values_out: array<u32>;

// For each value of the digit: which of the row's 256 keys have it.
var<workgroup> masks: array<atomic<u32>, 2048>;
var<workgroup> bases: array<u32, 256>;

@compute @workgroup_size(256)
fn scatter(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) t: u32) {
    let first = digit.is_first == 1u;
    let n = select(state[STATE_COUNT], digit.count, first);
    let groups = (n + TILE - 1u) / TILE;
    bases[t] = counts[t * groups + group.x];
    let word = t / 32u;
    let bit = t % 32u;
    for (var row = 0u; row < ROWS; row++) {
        for (var d = t; d < 2048u; d += 256u) { atomicStore(&masks[d], 0u); }
        workgroupBarrier();
        let i = group.x * TILE + row * 256u + t;
        var taken = i < n;
        var key = 0u;
        var value = 0u;
        if taken {
            let from_ = select(i, n - 1u - i, first);
            key = keys[from_];
            if first { value = from_; taken = key != CULLED_KEY; } else { value = values[from_]; }
        }
        let d = (key >> digit.shift) & (DIGITS - 1u);
        if taken { atomicOr(&masks[d * 8u + word], 1u << bit); }
        workgroupBarrier();
        if taken {
            var rank = countOneBits(atomicLoad(&masks[d * 8u + word]) & ((1u << bit) - 1u));
            for (var before = 0u; before < word; before++) { rank += countOneBits(atomicLoad(&masks[d * 8u + before])); }
            let to = bases[d] + rank;
            keys_out[to] = key;
            values_out[to] = value;
        }
        workgroupBarrier();
        var passed = 0u;
        for (var w = 0u; w < 8u; w++) { passed += countOneBits(atomicLoad(&masks[t * 8u + w])); }
        bases[t] += passed;
        // The next row clears the masks: nobody may still be reading them.
        workgroupBarrier();
    }
}
