//~ none lifetime may not live long enough
//! An access is invariant: through one of shorter life a task could leave there what does not live long enough.
use millstream::access::Write;

fn shorten<'short>(access: Write<&'static str>) -> Write<&'short str> {
    access
}

fn main() {
    let _ = shorten;
}
