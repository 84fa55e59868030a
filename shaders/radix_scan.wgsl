// Second pass of a digit, one workgroup: where each workgroup's keys of each value begin. The first digit also writes how
// many keys there are, the workgroups of the digits after it, and what is drawn.

@group(0) @binding(0) var<uniform> digit: Digit;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

var<workgroup> sums: array<u32, 256>;

@compute @workgroup_size(256)
fn scan(@builtin(local_invocation_index) t: u32) {
    let n = select(state[STATE_COUNT], digit.count, digit.is_first == 1u);
    let entries = DIGITS * ((n + TILE - 1u) / TILE);
    let each = (entries + 255u) / 256u;
    let begin = min(t * each, entries);
    let end = min(begin + each, entries);
    var own = 0u;
    for (var i = begin; i < end; i++) { own += counts[i]; }
    sums[t] = own;
    workgroupBarrier();
    for (var step = 1u; step < 256u; step = step << 1u) {
        var before = 0u;
        if t >= step { before = sums[t - step]; }
        workgroupBarrier();
        sums[t] += before;
        workgroupBarrier();
    }
    var next = sums[t] - own;
    for (var i = begin; i < end; i++) {
        let here = counts[i];
        counts[i] = next;
        next += here;
    }
    if digit.is_first == 1u {
        let total = sums[255];
        if t == 0u {
            state[0] = (total + TILE - 1u) / TILE;
            state[1] = 1u;
            state[2] = 1u;
            state[STATE_COUNT] = total;
        }
        for (var window = t; window < digit.windows; window += 256u) {
            let skipped = window * digit.window;
            let at = STATE_DRAWS + 4u * window;
            state[at] = 4u;
            state[at + 1u] = min(digit.window, max(total, skipped) - skipped);
            state[at + 2u] = 0u;
            state[at + 3u] = 0u;
        }
    }
}
