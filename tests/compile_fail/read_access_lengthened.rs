//~ none lifetime may not live long enough
//! An access is invariant: through one of longer life a task could keep what does not live long enough.
use millstream::access::Read;

fn lengthen<'short>(access: Read<&'short str>) -> Read<&'static str> {
    access
}

fn main() {
    let _ = lengthen;
}
