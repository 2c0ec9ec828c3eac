//~ none lifetime may not live long enough
//! A handle to data is invariant: it cannot be made one to data of shorter life.
use millstream::Data;

fn shorten<'short>(handle: Data<&'static str>) -> Data<&'short str> {
    handle
}

fn main() {
    let _ = shorten;
}
