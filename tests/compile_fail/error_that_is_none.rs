//~ E0277 `Odd` cannot be the error of a run
//! An error can be shown: the message says which trait it lacks.
use millstream::Graph;

struct Odd;

fn main() {
    let g = Graph::new();
    g.range(0..3_u32).try_for_each_ordered(|x| if x % 2 == 0 { Ok(()) } else { Err(Odd) });
}
